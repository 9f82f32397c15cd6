"""Entry points: a mistake is one line, a fault of the program keeps its traceback."""

import os
import subprocess
import sys

import pytest
from absl import flags

from lumiere_jax.one_line_errors import REPORT, MissingExtra, define_path, one_line_errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("--size=3:\n too small"), "error: --size=3: too small"),
        (MissingExtra("pip install x"), "error: pip install x"),
        (OSError(28, "No space left on device", "clips/a"), "error: clips/a: No space left on dev"),
        (ValueError("caf\udce9"), r"error: caf\\udce9"),
    ],
)
def test_a_mistake_is_one_line(error, line):
    with pytest.raises(SystemExit, match=line) as caught, one_line_errors():
        raise error
    assert "\n" not in caught.value.code


def test_a_fault_keeps_its_traceback_and_asks_for_a_report():
    with pytest.raises(KeyError) as caught, one_line_errors():
        raise KeyError("forgotten")
    assert caught.value.__notes__ == [REPORT]


def test_a_path_flag_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    values = flags.FlagValues()
    define_path("output", "clips", "Folder.", values)
    values(["program", "--output=~/clips"])
    assert values.output == "/home/someone/clips"


def test_an_argument_that_the_locale_cannot_read_is_named_with_a_remedy():
    command = [sys.executable, "-m", "lumiere_jax.sample", "--output=ü".encode()]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, env=os.environ | ascii_only, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert (
        done.stderr
        == rb"error: the argument --output=\xfc needs a UTF-8 locale; set LC_ALL=C.UTF-8" + b"\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([b"--prompt=caf\xe9"], "the argument --prompt=caf\\xe9 is not UTF-8"),
        (["--prompt=a", "--seed=-1"], "--seed=-1: seeds are whole numbers from 0 to 4294967295"),
        (["--prompt=a", "--seed=4294967296"], "--seed=4294967296: seeds are whole numbers"),
        (["--prompt=a", "--output=setup.py"], "--output=setup.py: "),
        (["--application=upscale"], "--application=upscale needs --upscale, such as clip.mp4"),
        (["--prompt=a", "stray"], "unexpected argument 'stray'"),
        (["--prompt=a", "--steps=1e3"], "flag --steps=1e3: invalid literal"),
        (["--prompt=a", "--window=-1"], "--window=-1 lies outside [1, 65536]"),
        (["--prompt=a", "--set=base.steps=0"], "--set=base.steps=0 lies outside [1, 1000]"),
    ],
)
def test_the_program_reports_a_mistake_in_one_line(arguments, line):
    command = [sys.executable, "-m", "lumiere_jax.sample", "--model=data/demo", *arguments]
    environment = os.environ | {"PYTHONUTF8": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (last,) = done.stderr.strip().splitlines()
    assert last.startswith(f"error: {line}")
