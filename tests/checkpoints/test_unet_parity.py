"""The U-Net has the outputs of diffusers' and DeepFloyd's own, with their checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.checkpoints import read_unet
from lumiere_jax.models import network
from lumiere_jax.text import Text

TOLERANCE = 3e-5


# These networks run once per shape: an optimized compilation would take longer than running them.
QUICK = {"xla_backend_optimization_level": 0}


def _runner(path):
    config, params = read_unet(path)
    run = jax.jit(network(config, dtype=jnp.float32).apply, compiler_options=QUICK)
    return lambda *args, **kwargs: _image(run(params, *args, **kwargs))


def _video(image):
    """Convert an image [b, c, h, w] to a video [b, 1, h, w, c]."""
    return np.moveaxis(image, 1, -1)[:, None]


def _image(video):
    return np.moveaxis(np.asarray(video)[:, 0], -1, 1)


def _time(steps):
    return steps.astype(np.float32) / 1000


def _load(folder, cases):
    """Load cases of one shape as one batch; its examples do not depend on each other."""
    files = [np.load(folder / f"case_{case}.npz") for case in cases]
    return {name: np.concatenate([file[name] for file in files]) for name in files[0].files}


@pytest.fixture(scope="module")
def stage_one(golden):
    return _runner(golden / "if1_unet")


@pytest.fixture(scope="module")
def stage_two(golden):
    return _runner(golden / "if2_unet")


@pytest.mark.parametrize("cases", ["AD", "B", "C"])
def test_stage_one_agrees_with_diffusers(golden, stage_one, cases):
    data = _load(golden / "if1_unet", cases)
    text = Text(data["encoder_hidden_states"])
    found = stage_one(_video(data["sample"]), _time(data["timestep"]), text)
    np.testing.assert_allclose(found, data["out"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("cases", ["AD", "C"])
def test_stage_two_agrees_with_diffusers(golden, stage_two, cases):
    data = _load(golden / "if2_unet", cases)
    sample = _video(data["sample"])
    found = stage_two(
        sample[..., :3],
        _time(data["timestep"]),
        Text(data["encoder_hidden_states"]),
        low_resolution=sample[..., 3:],
        augmentation=_time(data["class_labels"]),
    )
    np.testing.assert_allclose(found, data["out"], atol=TOLERANCE, rtol=0)


def test_stage_one_agrees_with_deepfloyd_under_its_own_names(golden):
    run = _runner(golden / "if_original" / "stage1.safetensors")
    data = np.load(golden / "if_original" / "stage1_io.npz")
    text = Text(data["encoder_hidden_states"])
    found = run(_video(data["sample"]), _time(data["timestep"]), text)
    np.testing.assert_allclose(found, data["out"], atol=TOLERANCE, rtol=0)


def test_stage_two_agrees_with_deepfloyd_under_its_own_names(golden):
    run = _runner(golden / "if_original" / "stage2.safetensors")
    data = np.load(golden / "if_original" / "stage2_io.npz")
    for level in (0.0, 0.25, 0.6):
        found = run(
            _video(data["sample"]),
            _time(data["timestep"]),
            Text(data["encoder_hidden_states"]),
            low_resolution=_video(data[f"upsampled_noised_aug{level}"]),
            augmentation=np.full(2, level, np.float32),
        )
        np.testing.assert_allclose(found, data[f"out_aug{level}"], atol=TOLERANCE, rtol=0)
