"""The ablation program on a known network, whose output depends on the window, not the frame."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.consensus_ablation import Ways, differences, refine_each_way
from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.evaluation.scenes import bicubic, shrunk
from lumiere_jax.metrics import window_seam_energy
from lumiere_jax.models import UNetConfig
from lumiere_jax.sampling import Stage, StageConfig


class Drifting:
    """A network that predicts rising brightness from the first to the last frame of its input."""

    config = UNetConfig(
        channels=(8,),
        blocks=(1,),
        attention=(False,),
        self_attention=False,
        head_dim=8,
        groups=4,
        low_resolution=True,
    )

    def apply(self, params, x, time, text=None, *, low_resolution):
        rise = jnp.linspace(-0.5, 0.5, x.shape[1])[:, None, None, None]
        return jnp.zeros_like(x) + rise


@pytest.fixture(scope="module")
def refined():
    settings = StageConfig(
        diffusion=DiffusionConfig(prediction="clean"),
        sampler=SamplerConfig(steps=2),
        frames=6,
        size=8,
        overlap=2,
        factor=2,
    )
    ways = Ways.of(Stage("ssr", Drifting(), {}, settings), 14)
    return refine_each_way(ways, np.zeros((14, 4, 4, 3), np.float32), seed=0)


def test_windows_apart_jump_where_the_next_one_takes_over(refined):
    arms, borders = refined
    assert borders["apart"] == [6, 8]  # windows of 6 at 0, 6, and the last one shifted back to 8
    jumps = differences(arms["apart"])
    assert jumps[5] == jumps.max() > 4 * np.median(jumps)


def test_the_consensus_spreads_the_jump_over_the_frames_that_windows_share(refined):
    arms, borders = refined
    assert borders["consensus"] == [5, 9]  # windows at 0, 4, 8; they share 4, 5 and 8, 9
    seams = {name: window_seam_energy(arms[name], borders[name]) for name in arms}
    assert seams["consensus"] < 0.75 * seams["apart"]
    assert seams["one window"] == pytest.approx(1, abs=0.2)


def test_the_baselines_are_what_they_are_called():
    truth = np.full((2, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(shrunk(truth, 2), np.full((2, 2, 2, 3), 77))
    np.testing.assert_array_equal(bicubic(shrunk(truth, 2), 8), truth)
