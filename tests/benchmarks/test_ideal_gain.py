"""The errors of a perfect denoiser."""

import numpy as np

from benchmarks.ideal_gain import TIMES, gains, posterior_mean


def test_the_posterior_mean_of_two_candidates_is_the_sigmoid_of_their_log_likelihoods():
    rng = np.random.default_rng(0)
    candidates = rng.normal(size=(2, 5)).astype(np.float32)
    noisy, alpha, sigma = rng.normal(size=(1, 5)).astype(np.float32), 0.6, 0.8
    distance = ((noisy - alpha * candidates) ** 2).sum(1) / (2 * sigma**2)
    first = 1 / (1 + np.exp(distance[0] - distance[1]))
    want = first * candidates[:1] + (1 - first) * candidates[1:]
    np.testing.assert_allclose(posterior_mean(noisy, candidates, alpha, sigma), want, rtol=1e-5)


def test_less_noise_is_less_error_and_the_opposite_word_is_worse_at_every_time():
    rows = {time: (true, opposite) for time, true, opposite in gains(scenes=4, candidates=100)}
    errors = [rows[time][0] for time in TIMES]
    assert errors[0] < errors[-1] / 3  # less noise, less error
    assert all(opposite > 1.3 * true for true, opposite in rows.values())
