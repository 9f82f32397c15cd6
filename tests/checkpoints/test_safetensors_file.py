"""A safetensors file is read whole or refused in one line, never read past its end."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lumiere_jax.checkpoints.safetensors_file import SafetensorsFile

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16)}
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def write(path, header, data=b"\0" * 8):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def read(path):
    file = SafetensorsFile(path)
    return {name: file.read(name) for name in file.tensors}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder for files that each example overwrites."""
    return tmp_path_factory.mktemp("mutants")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["a"], "not an object"),
        ({"a": 1}, "lacks one of"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "lacks one of"),
        ({"a": F32 | {"data_offsets": [-4, 0]}}, r"data_offsets \[-4, 0\]"),
        ({"a": F32 | {"data_offsets": [4, 0]}}, "data_offsets"),
        ({"a": F32 | {"data_offsets": [0, 4.0]}}, "data_offsets"),
        ({"a": F32 | {"data_offsets": [0, 4, 8]}}, "data_offsets"),
        ({"a": F32 | {"data_offsets": [4, 8]}}, "leaves a gap"),
        ({"a": F32, "b": F32}, "overlaps"),
        ({"a": F32 | {"shape": [-1, -1]}}, "shape"),
        ({"a": F32 | {"shape": [True]}}, "shape"),
        ({"a": F32 | {"shape": [1 << 62, 4]}}, "bytes of data"),  # wraps to 0 in 64 bits
        ({"a": F32 | {"shape": [0, 1 << 70], "data_offsets": [0, 0]}}, "shape"),
        ({"a": F32 | {"shape": "1"}}, "shape"),
        ({"a": F32 | {"dtype": ["F32"]}}, "dtype"),
        ({"a": F32 | {"dtype": "F8_E4M3"}}, "expected F32, F16 or BF16"),
        ({"a": F32 | {"shape": [3], "data_offsets": [0, 12]}}, "truncated"),
        ({"a": F32, "__metadata__": {"format": 1}}, "__metadata__"),
        (b'{"a": 1, "a": 2}', "comes twice"),
        (b"[" * 50_000, "nests deeper|not JSON"),
        (b"<html></html>", "web page"),
    ],
    ids=str,
)
def test_a_wrong_header_is_one_line_that_names_the_file(tmp_path, header, message):
    path = write(tmp_path / "x.safetensors", header)
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert "x.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_git_lfs_pointer_is_called_one(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match=r"Git LFS pointer.* git lfs pull"):
        read(path)


def test_bytes_after_the_last_tensor_do_not_matter(tmp_path):
    (tmp_path / "x").write_bytes(save(TENSORS) + b"\0" * 64)
    np.testing.assert_array_equal(read(tmp_path / "x")["a"], TENSORS["a"])


def test_a_link_at_the_path_of_a_new_file_is_not_followed(tmp_path):
    from lumiere_jax.checkpoints.safetensors_file import write_parameters

    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_parameters(tmp_path / "link", TENSORS)
    assert not (tmp_path / "elsewhere").exists()


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 250), value=st.integers(0, 255), kept=st.integers(0, 300))
def test_a_changed_file_is_refused_or_read_as_the_formats_own_package_does(
    folder, position, value, kept
):
    data = bytearray(save(TENSORS)[: max(kept, 8)])
    data[position % len(data)] = value
    (folder / "x").write_bytes(data)
    found = outcome(lambda: read(folder / "x"), ValueError)
    expected = outcome(lambda: load(bytes(data)), SafetensorError)
    if isinstance(found, str):
        assert "\n" not in found
    elif isinstance(expected, str):
        assert "not fully covered" in expected  # bytes after the last tensor
    else:
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name].view(np.uint8), array.view(np.uint8))


def outcome(read, refusal):
    """Return the result of a reader, or the message of its refusal; other errors end the test."""
    try:
        return read()
    except refusal as error:
        return str(error)
