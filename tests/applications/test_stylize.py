"""Styles interpolate the spatial parameters of the base by alpha; the temporal ones stay."""

import chex
import jax
import numpy as np
import pytest

from lumiere_jax.applications import styled
from lumiere_jax.checkpoints.style import (
    Style,
    add_factors,
    read_style,
    stylize_params,
    write_style,
)
from lumiere_jax.checkpoints.tree import flatten, unflatten
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.models.stunet import spatial_half
from lumiere_jax.sampling import Cascade
from lumiere_jax.training.style import factor_shapes
from tests.tiny import part, tiny_model, unet

MODEL = tiny_model(observed=True)
BASE = MODEL.parts["base"].params
IMAGE_MODEL = spatial_half(unet())
RNG = np.random.default_rng(0)


def is_video(path):
    return bool({"temporal", "observation"} & set(path.split("/")))


SPATIAL = {path for path in flatten(BASE) if not is_video(path)}


def random_factors(shapes):
    return jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.fixture(params=["weights", "factors"])
def style(request):
    """Return a style of either kind."""
    if request.param == "weights":
        return Style(weights=part(IMAGE_MODEL, 9).params)
    shapes = factor_shapes(part(IMAGE_MODEL, 9).params, 2)
    return Style(
        factors=jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype("f4"), shapes)
    )


def test_alpha_zero_is_the_model_itself(style):
    mixed = stylize_params(BASE, style, 0)
    chex.assert_trees_all_equal(mixed, BASE)


def test_alpha_one_is_the_style_itself(style):
    mixed = flatten(stylize_params(BASE, style, 1))
    wanted = style.weights
    if wanted is None:
        spatial = {path: leaf for path, leaf in flatten(BASE).items() if path in SPATIAL}
        wanted = add_factors(unflatten(spatial), style.factors)
    wanted = flatten(wanted)
    assert set(wanted) == SPATIAL
    for path, leaf in wanted.items():
        np.testing.assert_array_equal(mixed[path], leaf)


def test_half_way_is_the_mean_and_the_temporal_weights_are_untouched(style):
    ends = [flatten(stylize_params(BASE, style, alpha)) for alpha in (0, 1)]
    middle = flatten(stylize_params(BASE, style, 0.5))
    for path, leaf in middle.items():
        if is_video(path):
            np.testing.assert_array_equal(leaf, flatten(BASE)[path])
        else:
            np.testing.assert_allclose(leaf, (ends[0][path] + ends[1][path]) / 2, atol=1e-6)
    assert sum(is_video(path) for path in middle) > 10


def test_a_low_rank_style_changes_kernels_by_no_more_than_its_rank():
    shapes = factor_shapes(part(IMAGE_MODEL, 9).params, 2)
    factors = random_factors(shapes)
    mixed = flatten(stylize_params(BASE, Style(factors=factors), 1))
    before = flatten(BASE)
    name = "down_0_block_0/residual/conv_in/kernel"
    difference = (mixed[name] - before[name]).reshape(-1, before[name].shape[-1])
    assert np.linalg.matrix_rank(difference, tol=1e-3) == 2


def test_a_style_comes_back_from_disk(style, tmp_path):
    write_style(tmp_path / "style", style)
    again = read_style(tmp_path / "style")
    for alpha in (0.3, 1):
        jax.tree.map(
            np.testing.assert_array_equal,
            stylize_params(BASE, again, alpha),
            stylize_params(BASE, style, alpha),
        )
    with pytest.raises(FileExistsError, match="not empty"):
        write_style(tmp_path / "style", style)


def test_stylised_clips_differ_by_alpha_alone_and_the_model_stays_as_it_was():
    lumiere, style = Lumiere(MODEL), Style(weights=part(IMAGE_MODEL, 9).params)
    before = lumiere.text_to_video("a", progress=False).video
    clips = lumiere.stylize("a", style, alpha=[0, 0.5, 1], progress=False)
    assert [clip.recipe["alpha"] for clip in clips] == [0, 0.5, 1]
    np.testing.assert_array_equal(clips[0].video, before)
    assert np.abs(clips[2].video.astype(int) - before).mean() > 1
    np.testing.assert_array_equal(lumiere.text_to_video("a", progress=False).video, before)


def test_only_the_base_is_stylised():
    cascade = Cascade.from_model(tiny_model(refined=True))
    assert set(styled(cascade, Style(weights=part(IMAGE_MODEL, 9).params), 0.5)) == {"base"}


def test_what_cannot_be_is_refused():
    style = Style(weights=part(IMAGE_MODEL, 9).params)
    for alpha in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"--alpha=.* is outside \[0, 1\]"):
            stylize_params(BASE, style, alpha)
    other = part(spatial_half(unet(channels=(8, 24))), 3)
    for wrong in (
        Style(weights=other.params),
        Style(factors=part_factors(other)),
    ):
        with pytest.raises(ValueError, match="another architecture"):
            stylize_params(BASE, wrong, 0.5)
    with pytest.raises(FileNotFoundError, match=r"--style=.*neither a style nor a run"):
        Lumiere(MODEL).stylize("a", "nowhere")


def part_factors(model_part):
    shapes = factor_shapes(model_part.params, 2)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
