"""STUNet starts as the image model, and its temporal half connects the frames."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.models import TemporalConfig, UNetConfig, network
from lumiere_jax.models.stunet import (
    VIDEO_MODULES,
    flat_paths,
    inflate,
    inflate_params,
    is_spatial,
    spatial_half,
    spatial_params,
)
from lumiere_jax.text import Text
from tests.tiny import unet

IMAGE = unet(temporal=None)


def random_like(shapes, seed=0, dtype=jnp.float32):
    """Return random parameters: projections that start at zero would hide errors before them."""
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    drawn = [jnp.asarray(rng.normal(size=leaf.shape) * 0.2, dtype) for leaf in leaves]
    return jax.tree.unflatten(tree, drawn)


def inputs(frames, size=8, batch=2, dtype=jnp.float32):
    rng = np.random.default_rng(1)
    video = jnp.asarray(rng.normal(size=(batch, frames, size, size, 3)), dtype)
    text = Text(
        jnp.asarray(rng.normal(size=(batch, 5, 32)), dtype),
        jnp.arange(5) < jnp.asarray([[3], [5]]),
    )
    return video, jnp.asarray([0.1, 0.9], dtype), text


@pytest.mark.parametrize(("resize", "factor", "frames"), [(None, 2, 6), ((False,), 1, 3)])
def test_fresh_stunet_is_the_image_model_on_every_nth_frame(resize, factor, frames):
    config = inflate(IMAGE, TemporalConfig(resize=resize, head_dim=8))
    assert config.temporal_factor == factor
    image, video_net = network(IMAGE), network(config)
    image_params = random_like(image.shapes())
    params = inflate_params(video_net, image_params, jax.random.key(2))
    video, time, text = inputs(frames)
    got = video_net.apply(params, video, time, text)[:, ::factor]
    want = image.apply(image_params, video[:, ::factor], time, text)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert np.abs(want).max() > 0.1


def test_the_nearest_neighbour_start_holds_to_rounding_with_four_levels_in_float64():
    image_config = UNetConfig(
        channels=(8, 8, 8, 8),
        blocks=(1,) * 4,
        attention=(False,) * 4,
        head_dim=8,
        groups=4,
    )
    config = inflate(image_config, TemporalConfig(head_dim=8))
    assert config.temporal_factor == 8
    with jax.enable_x64(True):
        image, video_net = (network(c, dtype=jnp.float64) for c in (image_config, config))
        image_params = random_like(image.shapes(), dtype=jnp.float64)
        params = inflate_params(video_net, image_params, jax.random.key(0))
        video, time, _ = inputs(16, 16, dtype=jnp.float64)
        got = video_net.apply(params, video, time)[:, ::8]
        want = image.apply(image_params, video[:, ::8], time)
        assert want.dtype == jnp.float64
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_the_spatial_half_of_an_inflated_model_is_the_image_model():
    config = inflate(IMAGE, TemporalConfig(head_dim=8))
    image, video_net = network(IMAGE), network(config)
    image_params = random_like(image.shapes())
    params = inflate_params(video_net, image_params, jax.random.key(0))
    assert spatial_half(config) == IMAGE
    chex.assert_trees_all_equal(spatial_params(params), image_params)


def test_the_spatial_parameters_of_a_conditional_model_are_those_of_its_image_model():
    temporal = TemporalConfig(head_dim=8, pattern=(2, 2, 2))
    config = dataclasses.replace(inflate(IMAGE, temporal), observed=True)
    shapes = network(config).shapes()
    paths = flat_paths(shapes)
    spatial = {path for path in paths if is_spatial(path)}
    assert spatial == flat_paths(network(IMAGE).shapes()) == flat_paths(spatial_params(shapes))
    for path in paths - spatial:
        assert len(VIDEO_MODULES.intersection(path.split("/"))) == 1, path
    assert {"observation/kernel", "observation/bias"} <= paths - spatial
    assert spatial_half(config) == IMAGE


def test_the_image_model_takes_each_frame_on_its_own():
    image = network(IMAGE)
    params = random_like(image.shapes())
    video, time, text = inputs(3)
    together = image.apply(params, video, time, text)
    alone = [image.apply(params, video[:, i : i + 1], time, text) for i in range(3)]
    np.testing.assert_allclose(together, jnp.concatenate(alone, 1), atol=1e-5)


def test_every_frame_depends_on_the_last_one():
    config = inflate(IMAGE, TemporalConfig(head_dim=8))
    net = network(config)
    params = random_like(net.shapes())
    video, time, text = inputs(4)
    other = video.at[:, 3].add(1.0)
    moved = jnp.abs(net.apply(params, video, time, text) - net.apply(params, other, time, text))
    assert (moved.max(axis=(0, 2, 3, 4)) > 1e-4).all()


PATTERN = inflate(IMAGE, TemporalConfig(head_dim=8, pattern=(2, 3, 3)))


def test_a_fresh_pattern_changes_nothing():
    net, plain = network(PATTERN), network(inflate(IMAGE, TemporalConfig(head_dim=8)))
    params = net.init(jax.random.key(0))
    params["conv_out"] = random_like(params["conv_out"])
    rest = {name: part for name, part in params.items() if name != "temporal"}
    video, time, text = inputs(4)
    got, want = net.apply(params, video, time, text), plain.apply(rest, video, time, text)
    np.testing.assert_array_equal(got, want)
    assert np.abs(want).max() > 0.1


def test_a_pattern_is_a_sum_of_cosines_with_coefficients_of_the_text():
    from flax import nnx

    from lumiere_jax.models.temporal import PatternInflation

    module = PatternInflation(8, PATTERN, dtype=jnp.float32, rngs=nnx.Rngs(0))
    coefficients = np.random.default_rng(0).normal(size=(2, 3, 3, 8))
    module.projection.bias[...] = jnp.asarray(coefficients.reshape(-1), jnp.float32)
    _, _, text = inputs(4)
    got = module(jnp.zeros((2, 4, 6, 5, 8)), jnp.zeros((2, 32)), text.embedding, text.mask)
    want = np.zeros((4, 6, 5, 8))
    for number in np.ndindex(2, 3, 3):
        t, y, x = (
            np.cos(np.pi * n * (np.arange(size) + 0.5) / size) for n, size in zip(number, (4, 6, 5))
        )
        want += np.einsum("t,y,x,c->tyxc", t, y, x, coefficients[number])
    np.testing.assert_allclose(got, np.broadcast_to(want / 18**0.5, got.shape), atol=1e-5)


def test_a_pattern_changes_the_output_and_ignores_padding():
    net = network(PATTERN)
    params = random_like(net.shapes())
    video, time, text = inputs(4)
    plain = net.apply(params, video, time, text)
    silent = dict(params, temporal=jax.tree.map(jnp.zeros_like, params["temporal"]))
    assert np.abs(net.apply(silent, video, time, text) - plain).max() > 1e-3
    garbage = Text(jnp.where(text.mask[..., None], text.embedding, 7.0), text.mask)
    np.testing.assert_allclose(net.apply(params, video, time, garbage), plain, atol=1e-5)


def test_a_pattern_without_text_or_with_two_axes_is_refused():
    with pytest.raises(ValueError, match=r"needs model\.text_dim"):
        dataclasses.replace(PATTERN, text_dim=None, cross_dim=None)
    with pytest.raises(ValueError, match=r"temporal\.pattern=\(4, 4\)"):
        TemporalConfig(pattern=(4, 4))


def test_padding_of_the_text_does_not_matter_with_a_text_mask():
    image = network(IMAGE)
    params = random_like(image.shapes())
    video, time, text = inputs(1)
    garbage = jnp.where(text.mask[..., None], text.embedding, 7.0)
    want = image.apply(params, video, time, text)
    np.testing.assert_allclose(
        image.apply(params, video, time, Text(garbage, text.mask)), want, atol=1e-5
    )
    short = Text(text.embedding[:1, :3])
    np.testing.assert_allclose(image.apply(params, video[:1], time[:1], short), want[:1], atol=1e-5)


def test_frames_that_the_temporal_factor_does_not_divide_are_refused():
    net = network(inflate(IMAGE, TemporalConfig(head_dim=8)))
    video, time, text = inputs(5)
    with pytest.raises(ValueError, match=r"5 frames .* temporal factor 2: take"):
        net.apply(net.init(jax.random.key(0)), video, time, text)


def test_sizes_that_the_spatial_factor_does_not_divide_are_refused():
    net = network(IMAGE)
    video, time, text = inputs(1, size=9)
    with pytest.raises(ValueError, match=r"height 9 .* spatial factor 2: take"):
        net.apply(net.init(jax.random.key(0)), video, time, text)


def test_an_observed_video_changes_nothing_before_training_and_something_after():
    config = inflate(IMAGE, TemporalConfig(head_dim=8))
    net = network(dataclasses.replace(config, observed=True))
    params = random_like(net.shapes())
    video, time, text = inputs(4)
    mask = jnp.zeros((2, 4, 8, 8, 1)).at[:, 0].set(1)
    rest = {name: part for name, part in params.items() if name != "observation"}
    plain = network(config).apply(rest, video, time, text)
    seen = net.apply(params, video, time, text, observed=video, mask=mask)
    assert np.abs(plain - seen).max() > 1e-3
    zero = jax.tree.map(jnp.zeros_like, params["observation"])
    fresh = net.apply({**params, "observation": zero}, video, time, text, observed=video, mask=mask)
    np.testing.assert_array_equal(fresh, plain)


def test_no_observed_video_is_the_same_as_a_blank_one():
    config = dataclasses.replace(inflate(IMAGE, TemporalConfig(head_dim=8)), observed=True)
    net = network(config)
    params = random_like(net.shapes())
    video, time, text = inputs(4)
    blank = jnp.zeros_like(video)
    shown = net.apply(params, video, time, text, observed=blank, mask=blank[..., :1])
    np.testing.assert_array_equal(net.apply(params, video, time, text), shown)


def test_a_patch_stem_reaches_every_pixel():
    config = dataclasses.replace(IMAGE, patch=2, low_resolution=True, augmentation=True)
    net = network(config)
    params = random_like(net.shapes())
    video, time, text = inputs(1, size=16)
    run = lambda low: net.apply(  # noqa: E731
        params, video, time, text, low_resolution=low, augmentation=jnp.asarray([0.1, 0.1])
    )
    out = run(video)
    assert out.shape == video.shape
    assert np.abs(out - run(video + 1)).min() > 0


def test_rematerialization_does_not_change_gradients():
    image = UNetConfig(channels=(8,), blocks=(1,), attention=(False,), head_dim=8, groups=4)
    config = inflate(image, TemporalConfig(head_dim=8))
    video, time, _ = inputs(2, batch=1, size=4)
    params = random_like(network(config).shapes())

    def gradient(remat):
        net = network(config, remat=remat)
        return jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, video, time[:1]) ** 2)))(params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3),
        gradient(False),
        gradient(True),
    )
