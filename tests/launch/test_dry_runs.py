"""A dry run prints what would run, from the settings, and needs nothing installed."""

import shlex
import subprocess

import pytest
import yaml

from launch import local
from launch.job import Job
from launch.report import describe
from launch.settings import read_settings
from tests.launch.launching import PLATFORMS, TRAINING, launch, plan

AWKWARD = (*TRAINING, "--config.data.source=records:a b", "it's", '"$HOME" `id`', "\\n$(id)", "")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_dry_run_needs_no_program_project_or_image(platform, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    output = f"--output={tmp_path / 'generated'}"
    assert launch(f"--platform={platform}", output, "--dry_run", "--", *TRAINING) == 0
    printed = capsys.readouterr().out
    for word in (
        "hosts",
        "devices",
        "mesh",
        "XLA flags",
        "logs",
        "checkpoints",
        "profiles",
        "stop",
    ):
        assert f"\n{word:<12} " in printed
    placeholders = {"tpu_vm": ["<project>", "<zone>"], "gke": ["<image>"], "local": ["<free port>"]}
    for placeholder in placeholders.get(platform, []):
        assert placeholder in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("platform", "overrides", "hosts", "processes", "devices", "mesh"),
    [
        ("tpu_vm", {}, 32, 32, 128, "replica=1 fsdp=128 context=1"),
        ("tpu_vm", {"topology": "v5e:2x4"}, 1, 1, 8, "replica=1 fsdp=8 context=1"),
        ("gke", {"topology": "v6e:4x8"}, 8, 8, 32, "replica=1 fsdp=32 context=1"),
        ("gke", {"topology": "tpu7x:4x4x4"}, 16, 16, 128, "replica=1 fsdp=128 context=1"),
        ("slurm", {"nodes": 3}, 3, 3, 24, "replica=1 fsdp=24 context=1"),
        ("slurm", {"nodes": 3, "task": "gpu"}, 3, 24, 24, "replica=1 fsdp=24 context=1"),
        ("local", {"processes": 3}, 1, 3, 6, "replica=1 fsdp=6 context=1"),
    ],
)
def test_figures_follow_from_the_settings(platform, overrides, hosts, processes, devices, mesh):
    found = plan(platform, **overrides)
    assert (found.hosts, found.processes, found.devices) == (hosts, processes, devices)
    text = describe(found, platform)
    assert f"hosts        {hosts}\n" in text
    assert f"devices      {devices}\n" in text
    assert f"mesh         {mesh}\n" in text


def test_slices_multiply_hosts_and_devices_and_need_a_replica_each():
    with pytest.raises(ValueError, match="replica"):
        describe(plan("gke", slices=2), "gke")
    found = plan("gke", (*TRAINING, "--config.mesh.replica=2"), slices=2)
    assert (found.hosts, found.devices) == (64, 256)
    text = describe(found, "gke")
    assert "hosts        64 in 2 slices\n" in text
    assert "mesh         replica=2 fsdp=128 context=1\n" in text


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_environment_of_the_settings_reaches_every_process(platform):
    given = {"TZ": "UTC", "WORDS": "a 'b' $c"}
    found = plan(platform, environment=given, xla_flags="--xla_one=1 --xla_two=2")
    assert given.items() <= found.environment.items()
    assert found.environment["XLA_FLAGS"].endswith("--xla_one=1 --xla_two=2")
    if platform in ("tpu_vm", "slurm"):
        script = next(text for name, text in found.files.items() if "start.sh" not in name)
        assert script_environment(script, given) == given
    if platform == "gke":
        pod = read_pod(found)
        assert {"name": "WORDS", "value": given["WORDS"]} in pod["containers"][0]["env"]


def script_environment(script, names):
    """Return the variables that the `export` lines of a script set."""
    lines = "\n".join(line for line in script.splitlines() if line.startswith("export "))
    print_them = "".join(f'printf "%s\\n" "${name}"\n' for name in names)
    done = subprocess.run(["bash", "-c", f"{lines}\n{print_them}"], capture_output=True, text=True)
    return dict(zip(names, done.stdout.splitlines()))


def read_manifest(found):
    """Return the parsed manifest of a plan on GKE."""
    [text] = found.files.values()
    return yaml.safe_load(text)


def read_pod(found):
    """Return the specification of the pods of a plan on GKE."""
    [job] = read_manifest(found)["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


def test_libtpu_flags_are_of_tpus_alone():
    flags = "--xla_tpu_some_flag=true"
    for platform in ("tpu_vm", "gke"):
        environment = plan(platform, libtpu_init_args=flags).environment
        assert environment["LIBTPU_INIT_ARGS"] == flags
    assert "LIBTPU_INIT_ARGS" not in plan("slurm", libtpu_init_args=flags).environment


@pytest.mark.parametrize("platform", ["tpu_vm", "slurm", "gke"])
def test_scripts_are_valid_and_pass_the_command_unchanged(platform, tmp_path):
    found = plan(platform, AWKWARD, venv="/shared/my venv")
    scripts = list(found.files.values())
    if platform == "gke":
        scripts = [read_pod(found)["containers"][0]["command"][2]]
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    [line] = [line for line in scripts[-1].splitlines() if "lumiere_jax.train" in line]
    assert shlex.split(line.strip().removesuffix(" &"))[-len(AWKWARD) :] == list(AWKWARD)


def test_local_processes_get_the_command_unchanged():
    found = plan("local", AWKWARD)
    for step in found.steps:
        assert tuple(step.command[-len(AWKWARD) :]) == AWKWARD
        assert shlex.split(str(step)) == list(step.command)


def test_a_whole_command_is_run_as_it_is():
    command = ("python3", "-m", "lumiere_jax.sample", "--prompt=a red circle")
    for platform in PLATFORMS:
        assert f"command      {shlex.join(command)}\n" in describe(
            plan(platform, command), platform
        )


def test_one_host_of_tpus_runs_alone_and_several_join():
    assert "--distributed" not in "".join(plan("tpu_vm", topology="v5p:2x2x1").files.values())
    assert "--distributed" in "".join(plan("tpu_vm").files.values())


def test_a_jobset_has_a_job_a_slice_and_a_pod_a_host():
    found = plan("gke", topology="v5p:4x4x4x2s", image="there/image:1", spot=True)
    manifest = read_manifest(found)
    [job] = manifest["spec"]["replicatedJobs"]
    assert job["replicas"] == 2
    assert job["template"]["spec"]["parallelism"] == job["template"]["spec"]["completions"] == 16
    pod = read_pod(found)
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
        "cloud.google.com/gke-tpu-topology": "4x4x4",
        "cloud.google.com/gke-spot": "true",
    }
    assert pod["containers"][0]["image"] == "there/image:1"
    assert pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == 4


def test_a_jobset_restarts_after_75_without_counting():
    found = plan("gke", tries=7)
    spec = read_manifest(found)["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 7
    [rule] = spec["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    codes, disruption = job["podFailurePolicy"]["rules"]
    assert codes["action"] == disruption["action"] == "FailJob"
    assert codes["onExitCodes"]["values"] == [75]
    assert codes["onExitCodes"]["containerName"] == read_pod(found)["containers"][0]["name"]
    assert job["backoffLimit"] == 0
    assert read_pod(found)["restartPolicy"] == "Never"


def test_a_slurm_job_asks_for_nodes_gpus_and_a_notice():
    found = plan("slurm", nodes=4, gpus_per_node=2, task="gpu", partition="a100")
    [script] = found.files.values()
    options = [line.split()[1] for line in script.splitlines() if line.startswith("#SBATCH")]
    for option in ("--nodes=4", "--gpus-per-node=2", "--ntasks-per-node=2", "--partition=a100"):
        assert option in options
    assert {"--requeue", "--signal=B:USR1@300"} <= set(options)
    assert not any(option.startswith("--account") for option in options)
    assert 'scontrol requeue "$SLURM_JOB_ID"' in script


def test_a_task_a_node_uses_all_its_gpus():
    assert plan("slurm", gpus_per_node=4).environment["JAX_LOCAL_DEVICE_IDS"] == "0,1,2,3"
    assert "JAX_LOCAL_DEVICE_IDS" not in plan("slurm", task="gpu").environment


def test_one_process_has_no_coordinator_and_null_leaves_the_devices_to_jax(tmp_path):
    assert "JAX_COORDINATOR_ADDRESS" not in plan("local", processes=1).environment
    file = tmp_path / "mine.yaml"
    file.write_text("devices_per_process: null\nprocesses: 1\n")
    settings = read_settings(str(file), {})
    assert local.plan(Job(settings=settings, arguments=("python3", "x.py"))).environment == {}
