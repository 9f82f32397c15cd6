"""Descriptions of TPU slices, with a fake of the function of JAX that makes them."""

import types

import pytest

from lumiere_jax.one_line_errors import MissingExtra
from lumiere_jax.planner import libtpu
from lumiere_jax.planner.libtpu import check_libtpu, describe_devices
from lumiere_jax.planner.targets import read_topology

LOCKED = "ABORTED: Internal error when accessing libtpu multi-process lockfile."


class Describe:
    """A fake that fails a number of times."""

    def __init__(self, failures=0, message=LOCKED):
        self.failures, self.message, self.calls = failures, message, []

    def __call__(self, name, **options):
        self.calls.append((name, options))
        if len(self.calls) <= self.failures:
            raise RuntimeError(self.message)
        return types.SimpleNamespace(devices=["device"])


def test_the_lock_of_another_program_is_waited_for_and_said_once(capsys):
    describe = Describe(failures=3)
    devices = describe_devices(read_topology("v5e:2x2"), describe=describe, pause=0)
    assert devices == ["device"]
    assert len(describe.calls) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waiting for another program that uses libtpu to end (it holds ")


def test_waiting_is_said_again_after_a_while(capsys):
    describe_devices(read_topology("v5e:2x2"), describe=Describe(failures=3), pause=0, reminder=0)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_another_failure_is_one_line():
    describe = Describe(failures=1, message="INVALID_ARGUMENT: no such layout")
    with pytest.raises(ValueError, match=r"^--topology=v5e:2x2: libtpu .*: INVALID_ARGUMENT"):
        describe_devices(read_topology("v5e:2x2"), describe=describe)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("v5e:2x2", {}),
        ("v5e:2x2x2s", {"num_slices": 2}),
        ("v4:2x2x1", {"chip_config_name": "megacore", "chips_per_host_bounds": (2, 2, 1)}),
    ],
)
def test_slices_and_the_generation_are_described(text, options):
    describe = Describe()
    describe_devices(read_topology(text), describe=describe)
    name = text.removesuffix("x2s")
    assert describe.calls == [(name, {"platform": "tpu"} | options)]


def test_without_libtpu_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(libtpu, "libtpu_version", lambda: None)
    with pytest.raises(MissingExtra, match=r"pip install 'lumiere-jax\[tpu-compile\]'; --coll"):
        check_libtpu()
