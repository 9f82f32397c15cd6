import numpy as np
import pytest

from lumiere_jax.text.stored import pad_text, read_array, read_prompts, write_prompts


def test_prompts_are_read_as_they_were_written(tmp_path):
    texts = {"a fox – runs": np.ones((3, 4), np.float16), "": np.zeros((1, 4), np.float32)}
    write_prompts(tmp_path / "p.npz", texts)
    found = read_prompts(tmp_path / "p.npz", 4)
    assert list(found) == list(texts)
    for prompt, array in texts.items():
        np.testing.assert_array_equal(found[prompt], array)


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / "p.npz"
    write_prompts(path, {"a": np.ones((3, 4), np.float32)})
    with pytest.raises(ValueError, match=r"p\.npz: 0 holds an array of shape \(3, 4\).*\[l, 5\]"):
        read_prompts(path, 5)
    data = path.read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"PK" + bytes(100)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"p\.npz"):
            read_prompts(path, 4)
    np.savez(path, **{"0": np.ones((3, 4))})
    with pytest.raises(ValueError, match="not a file of prompts"):
        read_prompts(path, 4)
    np.save(tmp_path / "a.npy", np.array(["text"]))
    with pytest.raises(ValueError, match=r"a\.npy holds an array"):
        read_array(tmp_path / "a.npy", 4)


def test_a_file_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "p.npz", prompts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"p\.npz is not an array"):
        read_prompts(tmp_path / "p.npz", 4)


def test_rows_are_padded_or_cut_to_one_length():
    text = pad_text([np.ones((1, 2)), 2 * np.ones((5, 2))], 3)
    np.testing.assert_array_equal(text.mask, [[True, False, False], [True] * 3])
    np.testing.assert_array_equal(text.embedding[..., 0], [[1, 0, 0], [2, 2, 2]])
