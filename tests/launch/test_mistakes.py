"""Mistakes end with one line that names the flag and a value that works."""

import subprocess
import sys

import pytest
import yaml
from absl import flags

from launch.run import define
from launch.settings import Settings
from tests.launch.launching import PLATFORMS, ROOT, SHIPPED, TRAINING, Programs, launch


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--platform is missing; give one of tpu_vm"),
        (["--platform=tpu"], "--platform='tpu' is none of tpu_vm, .*; try 'tpu_vm'"),
        (["--platform=gke", "--topology=v5p:3x3"], "--topology=v5p:3x3: .* try --topology=v5p:"),
        (["--platform=gke", "--topology=v9"], "--topology=v9 is not known; .*try --topology=v"),
        (["--platform=tpu_vm", "--topology=tpu7x:4x4x4"], "tpu7x is on --platform=gke"),
        (
            ["--platform=tpu_vm", "--topology=v5p:4x4x16"],
            "has the shape of --topology=v5p:4x8x8; others",
        ),
        (["--platform=gke", "--settings=none.yaml"], "--settings=none.yaml: no such file; try"),
        (["--platform=gke", "--name=A b"], "--name='A b': .* such as --name=lumiere"),
        (["--platform=slurm", "--task=core"], "--task='core' is none of node, gpu; try 'node'"),
        (["--platform=local", "--processes=0"], "--processes=0"),
    ],
)
def test_a_wrong_flag_is_named_with_a_value_that_works(arguments, line):
    with pytest.raises((ValueError, OSError), match=line):
        launch(*arguments, "--dry_run", "--", *TRAINING)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ([], "the command is missing; end the line with -- --config="),
        (["--config=configs/demo.py:base"], "--workdir is missing after --"),
        (["--workdir=runs/a"], "--config is missing after --"),
        (["--config=none.py", "--workdir=runs/a"], "--config=none.py: no such file; try --config"),
        ([*TRAINING, "--config.mesh.fsdp=many"], "after --: .*config.mesh.fsdp"),
        ([*TRAINING, "--config.mesh.fsdp=7"], "set --config.mesh.replica=-1"),
    ],
)
def test_a_wrong_command_is_named(command, line):
    with pytest.raises((ValueError, OSError), match=line):
        launch("--platform=gke", "--dry_run", "--", *command)


@pytest.mark.parametrize("platform", ["tpu_vm", "gke"])
def test_a_folder_that_other_hosts_do_not_see_is_refused(platform):
    with pytest.raises(ValueError, match=r"--workdir=runs/a .*give --workdir=gs://my-bucket/run"):
        launch(f"--platform={platform}", "--dry_run", "--", TRAINING[0], "--workdir=runs/a")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("zoen: x", "'zoen' is not a setting; did you mean zone"),
        ("nodes: many", "--nodes='many' is not a whole number"),
        ("spot: 1", "--spot=1 is not true or false"),
        ("environment: [1]", "--environment="),
        ("environment: {1 a: b}", "environment: '1 a' is not the name of a variable"),
        ("a: [", "is not YAML"),
        ("just words", "has no lines such as"),
    ],
)
def test_a_wrong_settings_file_is_named(text, line, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=line):
        launch("--platform=slurm", f"--settings={file}", "--dry_run", "--", *TRAINING)


def test_a_settings_file_may_have_some_keys_and_flags_take_precedence(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("nodes: 5\ngpus_per_node: 4\n")
    launch("--platform=slurm", f"--settings={file}", "--nodes=6", "--dry_run", "--", *TRAINING)
    assert "devices      24\n" in capsys.readouterr().out


def test_every_setting_is_in_the_shipped_file_the_guide_and_the_flags():
    keys = set(Settings.__dataclass_fields__)
    values = flags.FlagValues()
    define(values)
    assert set(yaml.safe_load(SHIPPED.read_text())) == keys
    assert keys - set(values) == {"environment"}
    guide = (ROOT / "docs/launch.md").read_text()
    assert not [key for key in keys if f"| `{key}` |" not in guide]


@pytest.mark.parametrize(
    ("platform", "program", "remedy"),
    [
        ("tpu_vm", "gcloud", "https://cloud.google.com/sdk"),
        ("gke", "kubectl", "gcloud components install kubectl"),
        ("slurm", "sbatch", "login node"),
    ],
)
def test_a_missing_program_is_named_with_a_remedy(platform, program, remedy, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(Programs(tmp_path / "bin").folder))
    settings = ["--project=p", "--zone=z", "--image=i", f"--output={tmp_path / 'generated'}"]
    with pytest.raises(FileNotFoundError, match=f"{program} is not installed: .*{remedy}"):
        launch(f"--platform={platform}", *settings, "--", *TRAINING)
    assert not (tmp_path / "generated").exists()


@pytest.mark.parametrize(("platform", "key"), [("tpu_vm", "project"), ("gke", "image")])
def test_a_real_run_names_the_setting_that_is_missing(platform, key, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=f"--{key} is missing; give --{key}="):
        launch(f"--platform={platform}", "--", *TRAINING)


def test_the_program_ends_with_one_line():
    command = [sys.executable, "-m", "launch.run", "--platform=cloud", "--", *TRAINING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --platform='cloud' is none of")
    assert done.stderr.count("\n") == 1
    assert set(PLATFORMS) <= set(done.stderr.replace(",", "").replace(";", "").split())
