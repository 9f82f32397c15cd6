"""A run that an earlier version left behind is read, and resumed, by this one."""

import hashlib
import json
import tarfile

import jax
import numpy as np
import pytest

from lumiere_jax.parallel import Rows
from lumiere_jax.training.config import read_experiment
from lumiere_jax.training.loop import train
from lumiere_jax.training.runs import load_run, run_model
from tests.tiny import with_train

# Of the run's two steps, as the version that made it computed them.
DIGEST = "dc53edbf5a8f5b388e42f03cada17ae13b889ff879f36fd41c0af45f9c630bf4"
LOSSES = {3: 0.5496588945388794, 4: 0.4369766414165497}


@pytest.fixture
def run(golden, tmp_path):
    """Unpack a run of version 1: two steps of the tiny model with weighting="velocity"."""
    with tarfile.open(golden / "earlier_runs" / "version_1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_its_settings_are_read_as_today_s(run):
    written = json.loads((run / "image" / "config.json").read_text())
    assert written["diffusion"]["weighting"] == "velocity"
    diffusion = read_experiment(run / "image" / "config.json").diffusion
    assert (diffusion.weighting, diffusion.snr_floor) == ("min_snr", 1.0)


def test_its_parameters_are_those_that_it_had(run):
    loaded = load_run(run / "image")
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(loaded.params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    assert (loaded.step, digest.hexdigest()) == (2, DIGEST)
    assert set(run_model(run).parts) == {"base", "text"}


def test_it_resumes_with_the_losses_that_it_would_have_had_with_its_noise(run, monkeypatch):
    """Draw the noise for the whole batch at once, as until version 2; now each row has a key."""

    def draw(rows, key, shape, dtype=np.float32):
        return rows.of(jax.random.normal(key, (rows.total, *shape), dtype))

    monkeypatch.setattr(Rows, "normal", draw)
    experiment = with_train(read_experiment(run / "image" / "config.json"), steps=4, log_every=1)
    assert train(experiment, run) is None
    lines = (run / "image" / "metrics.jsonl").read_text().splitlines()
    losses = {line["step"]: line["loss"] for line in map(json.loads, lines)}
    assert losses == pytest.approx(LOSSES, rel=1e-4)
    assert json.loads((run / "image" / "config.json").read_text())["version"] == 3
