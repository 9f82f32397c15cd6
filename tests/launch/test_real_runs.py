"""A real run gives the programs of a platform the commands that its dry run prints."""

import subprocess
import tarfile

import pytest

from tests.launch.launching import TRAINING, Programs, launch, plan

PLACE = ["--project=my-project", "--zone=my-zone"]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    made = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(made.folder))
    return made


def test_tpu_vms_are_queued_filled_and_started(programs, tmp_path, capsys):
    programs.add("gcloud", output="ACTIVE")
    output = f"--output={tmp_path / 'generated'}"
    assert launch("--platform=tpu_vm", *PLACE, output, "--", *TRAINING) == 0
    create, describe, copy, start = programs.calls()
    assert create[3:6] == ["queued-resources", "create", "lumiere"]
    assert {"--accelerator-type=v5p-256", "--runtime-version=v2-alpha-tpuv5"} <= set(create)
    assert describe[3:6] == ["queued-resources", "describe", "lumiere"]
    assert copy[3:5] == ["tpu-vm", "scp"]
    assert start[3:6] == ["tpu-vm", "ssh", "lumiere"]
    assert {"--worker=all", "--command=bash lumiere/start.sh"} <= set(start)
    assert all(set(PLACE) <= set(call) for call in programs.calls())
    folder = tmp_path / "generated/lumiere"
    assert {path.name for path in folder.iterdir()} == {"start.sh", "run.sh", "source.tar.gz"}
    with tarfile.open(folder / "source.tar.gz") as archive:
        names = archive.getnames()
    assert {"setup.py", "configs/lumiere.py", "lumiere_jax/train.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    assert "gs://bucket/run/base/checkpoints" in capsys.readouterr().out.splitlines()[-4]


def test_each_slice_is_a_tpu_vm(programs, tmp_path):
    programs.add("gcloud", output="ACTIVE")
    output = f"--output={tmp_path / 'generated'}"
    command = (*TRAINING, "--config.mesh.replica=2")
    launch("--platform=tpu_vm", *PLACE, output, "--slices=2", "--spot", "--", *command)
    create, _, *copies_and_starts = programs.calls()
    assert {"--node-count=2", "--node-prefix=lumiere", "--spot"} <= set(create)
    assert [call[4] for call in copies_and_starts] == ["scp", "scp", "ssh", "ssh"]
    assert [call[5] for call in copies_and_starts[2:]] == ["lumiere-0", "lumiere-1"]


def test_a_tpu_vm_that_is_there_is_used(programs, tmp_path):
    programs.add("gcloud")
    output = f"--output={tmp_path / 'generated'}"
    launch("--platform=tpu_vm", *PLACE, output, "--nocreate", "--", *TRAINING)
    assert [call[4] for call in programs.calls()] == ["scp", "ssh"]


def test_a_request_that_failed_ends_the_launch(programs, tmp_path, capfd):
    programs.add("gcloud", output="SUSPENDED")
    output = f"--output={tmp_path / 'generated'}"
    with pytest.raises(ValueError, match="exit code 1 of: bash -c"):
        launch("--platform=tpu_vm", *PLACE, output, "--", *TRAINING)
    assert "the request is SUSPENDED; delete it: gcloud" in capfd.readouterr().err
    assert len(programs.calls()) == 2


def test_a_failing_command_ends_the_launch_and_is_named(programs, tmp_path):
    programs.add("gcloud", code=2)
    output = f"--output={tmp_path / 'generated'}"
    with pytest.raises(ValueError, match="exit code 2 of: gcloud compute tpus queued-resources"):
        launch("--platform=tpu_vm", *PLACE, output, "--", *TRAINING)
    assert len(programs.calls()) == 1


def test_a_jobset_is_applied_after_its_image_is_pushed(programs, tmp_path):
    programs.add("docker")
    programs.add("kubectl")
    output, image = f"--output={tmp_path / 'generated'}", "--image=there/image:1"
    launch("--platform=gke", output, image, "--build", "--", *TRAINING)
    build, push, apply = programs.calls()
    assert build == ["docker", "build", "-f", "launch/Dockerfile", "-t", "there/image:1", "."]
    assert push == ["docker", "push", "there/image:1"]
    file = tmp_path / "generated/lumiere/jobset.yaml"
    assert apply == ["kubectl", "--namespace=default", "apply", "-f", str(file)]
    expected = plan("gke", output=str(tmp_path / "generated"), image="there/image:1")
    assert file.read_text() == expected.files[str(file)]


def test_a_slurm_job_is_queued(programs, tmp_path):
    programs.add("sbatch")
    launch("--platform=slurm", f"--output={tmp_path / 'generated'}", "--", *TRAINING)
    file = tmp_path / "generated/lumiere/job.sbatch"
    assert programs.calls() == [["sbatch", str(file)]]
    subprocess.run(["bash", "-n", str(file)], check=True)


def test_the_batch_script_runs_the_step_and_is_queued_again_before_its_limit(
    programs, tmp_path, monkeypatch
):
    programs.add("scontrol")
    awkward = ("python3", "a b", "$HOME", "it's")
    found = plan("slurm", awkward, output=str(tmp_path))
    [script] = found.files.values()
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    programs.add("srun")
    done = subprocess.run(["bash", "-c", script], timeout=30)
    assert done.returncode == 0
    [srun] = programs.calls()
    assert srun[:2] == ["srun", "--ntasks-per-node=1"]
    assert tuple(srun[-4:]) == awkward
    # SLURM sends USR1 to the script, here from the step.
    (programs.folder / "srun").write_text("#!/bin/bash\nkill -USR1 $PPID; sleep 0.2; exit 75\n")
    done = subprocess.run(["bash", "-c", script], timeout=30)
    assert programs.calls()[1:] == [["scontrol", "requeue", "7"]]
