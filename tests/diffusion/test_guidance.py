import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import Conditions, DiffusionConfig, Estimate, guide
from lumiere_jax.text import Text

SHAPE = (3, 2, 2, 2, 3)
X = jax.random.normal(jax.random.key(0), SHAPE)
TIME = jnp.full(3, 0.5)
TEXT = Text(jnp.arange(1.0, 4).reshape(3, 1, 1) * jnp.ones((3, 5, 2)))
NULL = Text(jnp.zeros((1, 5, 2)))


def predict(x, time, conditions):
    """Return a prediction that depends on the text and the low-resolution clip."""
    told = conditions.text.embedding.mean((1, 2)).reshape(-1, 1, 1, 1, 1)
    low = 0 if conditions.low_resolution is None else conditions.low_resolution
    return Estimate(x * (1 + told) + low, x - told, variance=x + told)


def test_guidance_extrapolates_from_the_null_answer_and_keeps_the_conditional_variance():
    low = X[::-1]
    conditions = Conditions(text=TEXT, low_resolution=low)
    guided = guide(predict, 7.0, NULL)(X, TIME, conditions)
    wanted = predict(X, TIME, conditions)
    null = predict(X, TIME, Conditions(Text(jnp.zeros((3, 5, 2))), low_resolution=low))
    for ours, one, other in list(zip(guided, wanted, null))[:2]:
        np.testing.assert_allclose(ours, other + 7 * (one - other), atol=1e-5)
    np.testing.assert_array_equal(guided.variance, wanted.variance)


def test_scale_one_computes_no_second_half():
    assert guide(predict, 1.0, None) is predict


def test_one_call_of_twice_the_batch():
    batches = []

    def spy(x, time, conditions):
        batches.append((x.shape[0], time.shape[0], conditions.text.embedding.shape[0]))
        return predict(x, time, conditions)

    guide(spy, 3.0, NULL)(X, TIME, Conditions(TEXT))
    assert batches == [(6, 6, 6)]


def test_a_missing_mask_reads_every_token():
    masks = []

    def spy(x, time, conditions):
        masks.append(np.asarray(conditions.text.mask))
        return predict(x, time, conditions)

    null = Text(NULL.embedding, jnp.array([[True] + [False] * 4]))
    guide(spy, 3.0, null)(X, TIME, Conditions(TEXT))
    assert masks[0][0::2].all()
    np.testing.assert_array_equal(masks[0][1::2].sum(axis=1), 1)


@pytest.mark.parametrize(("time", "guided"), [(0.5, True), (0.1, False), (0.9, False)])
def test_outside_its_interval_guidance_rests(time, guided):
    denoise = jax.jit(guide(predict, 7.0, NULL, interval=(0.2, 0.8)))
    answer = denoise(X, jnp.full(3, time), Conditions(TEXT)).clean
    plain = predict(X, TIME, Conditions(TEXT)).clean
    assert bool(jnp.allclose(answer, plain)) is not guided


@pytest.mark.parametrize("rescale", [0.0, 0.7, 1.0])
def test_rescale_is_that_of_diffusers(golden, rescale):
    data = np.load(golden / "schedulers/misc.npz")
    halves = {1.0: data["cfg_cond"][:, None], 0.0: data["cfg_uncond"][:, None]}
    x = jnp.zeros_like(halves[1.0])
    config = DiffusionConfig(prediction="velocity")
    alpha, sigma = config.levels(jnp.full(4, 0.4), x)

    def network(x, time, conditions):  # returns one of the stored halves, as a velocity
        told = conditions.text.embedding.mean((1, 2)).reshape(-1, 1, 1, 1, 1)
        stored = [jnp.repeat(jnp.asarray(halves[k]), x.shape[0] // 4, axis=0) for k in (1.0, 0.0)]
        velocity = jnp.where(told == 1, *stored)
        return Estimate(-sigma[0] * velocity, alpha[0] * velocity)

    guided = guide(network, float(data["cfg_scale"]), NULL, rescale=rescale or 1e-9, config=config)(
        x, jnp.full(4, 0.4), Conditions(Text(jnp.ones((4, 5, 2))))
    )
    velocity = alpha * guided.noise - sigma * guided.clean
    np.testing.assert_allclose(velocity[:, 0], data[f"rescale_noise_cfg_{rescale}"], atol=2e-5)


def test_texts_of_different_lengths_are_an_error_that_says_both():
    with pytest.raises(ValueError, match="5 tokens against 4"):
        guide(predict, 7.0, Text(jnp.zeros((1, 4, 2))))(X, TIME, Conditions(TEXT))


def test_guidance_without_a_null_text_is_an_error():
    with pytest.raises(ValueError, match="set guidance_scale=1"):
        guide(predict, 7.0, None)
