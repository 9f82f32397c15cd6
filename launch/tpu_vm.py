"""Cloud TPU VMs, with or without the queue: create them, copy the code, start the run on each.

Each worker runs the command in a loop of its own (`launch.restarts`). JAX finds the other workers
in the metadata of the machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from launch.job import Job, Launch, Step, exports, variables
from launch.restarts import shell_loop
from launch.settings import Settings
from launch.tpus import RUNTIMES, Slices, read_slices

SOURCES = ("lumiere_jax", "configs", "setup.py", "pyproject.toml", "README.md")
GCLOUD = ("gcloud", "compute", "tpus")

START = """\
#!/usr/bin/env bash
# Runs on a worker: installs the code, and starts run.sh in the background.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e pid ] && kill -0 "$(cat pid)" 2>/dev/null; then
  echo "error: the run is there already, with the process $(cat pid)" >&2
  exit 1
fi
command -v {python} >/dev/null || {{ sudo apt-get update; sudo apt-get install -y {python}-venv; }}
[ -e venv ] || {python} -m venv venv
mkdir -p code
tar -xzf source.tar.gz -C code
venv/bin/pip install --quiet './code[tpu]' gcsfs
# Without a terminal, so that the run goes on when the connection ends.
nohup setsid bash run.sh >> run.log 2>&1 < /dev/null &
echo "started; the log is $PWD/run.log"
"""

RUN = """\
#!/usr/bin/env bash
# Runs on a worker, in the background.
set -uo pipefail
cd "$(dirname "$0")"
echo $$ > pid
folder=$PWD
trap 'rm -f "$folder/pid"' EXIT
source venv/bin/activate
cd code
{exports}
{loop}exit "$code"
"""

WAIT = """\
while state=$({describe}); do
  case "$state" in
    ACTIVE) exit 0;;
    FAILED|SUSPENDED|SUSPENDING)
      echo "error: the request is $state; delete it: "{delete} >&2
      exit 1;;
  esac
  echo "waiting for TPUs: ${{state:-unknown}}"
  sleep 30
done
exit 1
"""


def plan(job: Job) -> Launch:
    """Return the commands, scripts and figures of a run on TPU VMs.

    Args:
      job: run to launch.

    Raises:
      ValueError: a topology that does not exist or that TPU VMs do not have, or a folder of the run
        that only one of several hosts would see.
    """
    settings = job.settings
    slices = read_slices(settings.topology, settings.slices)
    if slices.generation not in RUNTIMES:
        raise ValueError(
            f"--topology={settings.topology}: Cloud TPU VMs have {', '.join(RUNTIMES)}; "
            f"{slices.generation} is on --platform=gke"
        )
    slices.check_accelerator_type()
    hosts = slices.hosts * slices.count
    if hosts > 1:
        job.check_workdir(f"is on the disk of one of {hosts} hosts")
    environment = variables(settings, LIBTPU_INIT_ARGS=settings.libtpu_init_args)
    # The environment of a TPU VM does not name its neighbours, so training is told to look.
    loop = shell_loop(settings, job.command("python3", distributed=hosts > 1))
    folder = f"{settings.output}/{settings.name}"
    return Launch(
        job=job,
        hosts=hosts,
        processes=hosts,
        devices=slices.devices,
        slices=slices.count,
        environment=environment,
        files={
            f"{folder}/start.sh": START.format(python=shlex.quote(settings.python)),
            f"{folder}/run.sh": RUN.format(exports=exports(environment), loop=loop),
        },
        steps=[*_steps(settings, slices, folder)],
        required=("project", "zone"),
        logs="run.log in the folder of the run on each worker: "
        + _ssh(settings, _nodes(settings, slices)[0], f"tail -f {settings.name}/run.log", "0"),
        stop=" && ".join(
            _ssh(settings, node, f"kill -TERM $(cat {settings.name}/pid)")
            for node in _nodes(settings, slices)
        )
        + f"; then end the cost: {_delete(settings, slices)}",
    )


def _steps(settings: Settings, slices: Slices, folder: str) -> Iterator[Step]:
    place = _place(settings)
    if settings.create:
        yield _create(settings, slices)
        if _is_queued(settings, slices):
            state = ["describe", settings.name, "--format=value(state.state)", *place]
            describe = shlex.join([*GCLOUD, "queued-resources", *state])
            script = WAIT.format(describe=describe, delete=shlex.quote(_delete(settings, slices)))
            yield Step(words="wait until the TPUs are there", command=["bash", "-c", script])
    archive = ["tar", "-czf", f"{folder}/source.tar.gz", "--exclude=__pycache__", *SOURCES]
    yield Step(words="pack the code", command=archive)
    for node in _nodes(settings, slices):
        copy = ["tpu-vm", "scp", "--recurse", folder, f"{node}:", "--worker=all", *place]
        yield Step(words="copy code and scripts to all workers", command=[*GCLOUD, *copy])
    for node in _nodes(settings, slices):
        start = f"bash {settings.name}/start.sh"
        ssh = ["tpu-vm", "ssh", node, "--worker=all", f"--command={start}", *place]
        yield Step(words="install and start on all workers", command=[*GCLOUD, *ssh])


def _create(settings: Settings, slices: Slices) -> Step:
    kind = f"--accelerator-type={slices.accelerator_type}"
    runtime = settings.runtime or RUNTIMES[slices.generation]
    spot = ["--spot"] if settings.spot else []
    if not _is_queued(settings, slices):
        command = [*GCLOUD, "tpu-vm", "create", settings.name, kind, f"--version={runtime}"]
        return Step(words="create the TPU VM", command=[*command, *spot, *_place(settings)])
    nodes = [f"--node-id={settings.name}"]
    if slices.count > 1:
        nodes = [f"--node-count={slices.count}", f"--node-prefix={settings.name}"]
    command = [*GCLOUD, "queued-resources", "create", settings.name, *nodes, kind]
    command += [f"--runtime-version={runtime}", *spot, *_place(settings)]
    return Step(words="ask for the TPU VMs", command=command)


def _is_queued(settings: Settings, slices: Slices) -> bool:
    """Return True for a request in the queue; several slices are made together only there."""
    return settings.queued or slices.count > 1


def _place(settings: Settings) -> list[str]:
    return [f"--project={settings.shown('project')}", f"--zone={settings.shown('zone')}"]


def _nodes(settings: Settings, slices: Slices) -> list[str]:
    """Return the names of the TPU VMs, one a slice."""
    if slices.count == 1:
        return [settings.name]
    return [f"{settings.name}-{index}" for index in range(slices.count)]


def _ssh(settings: Settings, node: str, command: str, worker: str = "all") -> str:
    ssh = [*GCLOUD, "tpu-vm", "ssh", node, f"--worker={worker}", f"--command={command}"]
    return shlex.join([*ssh, *_place(settings)])


def _delete(settings: Settings, slices: Slices) -> str:
    queued = _is_queued(settings, slices)
    kind, force = ("queued-resources", ["--force"]) if queued else ("tpu-vm", [])
    return shlex.join([*GCLOUD, kind, "delete", settings.name, *force, *_place(settings)])
