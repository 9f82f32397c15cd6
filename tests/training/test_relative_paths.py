"""A relative path such as `--workdir=runs/demo` works like any other."""

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from lumiere_jax.training.checkpoint import Checkpoints


def test_weights_are_stored_under_a_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
    with Checkpoints("runs/demo", keep=1) as checkpoints:
        digest = checkpoints.save_frozen(weights)
        found = checkpoints.load_frozen(digest, weights)
    np.testing.assert_array_equal(found["a"]["kernel"], weights["a"]["kernel"])
    assert (tmp_path / "runs" / "demo" / "frozen" / digest).exists()


@pytest.mark.parametrize("folder", ["gs://bucket/runs/demo", "/runs/demo"])
def test_absolute_folders_are_known_as_such(folder):
    assert epath.Path(folder).is_absolute()
