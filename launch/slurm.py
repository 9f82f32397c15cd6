"""GPUs of a SLURM cluster: a batch script that runs one task a node, or one a GPU.

The script restarts the command inside of the job (`launch.restarts`). Shortly before the job's
limit it ends the tasks, which save a checkpoint, and puts the job into the queue again.
"""

from __future__ import annotations

import shlex

from launch.job import Job, Launch, Step, exports, variables
from launch.restarts import shell_loop
from launch.settings import Settings

NOTICE = 300  # seconds before the limit, for the checkpoint
# The tasks that are left after one has ended: the first may end while others close a checkpoint.
AFTER_FIRST = 300

SCRIPT = """\
#!/usr/bin/env bash
{options}
set -uo pipefail
cd "$SLURM_SUBMIT_DIR"
{exports}
{loop}
if [ -n "$limit" ]; then
  echo "launch: the limit of the job is near: queued again"
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
# USR1 comes from SLURM before the limit; TERM from scancel, or from a preemption, after which SLURM
# itself queues the job again.
TRAP = "trap 'limit=1; pass_on' USR1\n"


def plan(job: Job) -> Launch:
    """Return the batch script, command and figures of a run on SLURM.

    Args:
      job: run to launch.
    """
    settings = job.settings
    a_node = settings.gpus_per_node if settings.task == "gpu" else 1
    # JAX gives a process of SLURM one device unless told.
    devices = ",".join(map(str, range(settings.gpus_per_node))) if settings.task == "node" else ""
    environment = variables(settings, JAX_LOCAL_DEVICE_IDS=devices)
    python = f"{settings.venv}/bin/python" if settings.venv else "python3"
    step = ["srun", f"--ntasks-per-node={a_node}", f"--wait={AFTER_FIRST}"]
    step += ["--kill-on-bad-exit=0", *job.command(python)]
    file = f"{settings.output}/{settings.name}/job.sbatch"
    script = SCRIPT.format(
        options="\n".join(f"#SBATCH {option}" for option in _options(settings, a_node)),
        exports=exports(environment),
        loop=shell_loop(settings, step, trap=TRAP, state="limit="),
    )
    return Launch(
        job=job,
        hosts=settings.nodes,
        processes=settings.nodes * a_node,
        devices=settings.nodes * settings.gpus_per_node,
        environment=environment,
        files={file: script},
        steps=[Step(words="queue the job", command=["sbatch", file])],
        logs=f"{settings.output}/{settings.name}/<job>.log",
        stop=f"scancel --batch --signal=TERM --name={settings.name} (the tasks save a checkpoint)",
    )


def _options(settings: Settings, a_node: int) -> list[str]:
    options = {
        "job-name": settings.name,
        "nodes": settings.nodes,
        "ntasks-per-node": a_node,
        "gpus-per-node": settings.gpus_per_node,
        "time": settings.time,
        "partition": settings.partition,
        "account": settings.account,
        "signal": f"B:USR1@{NOTICE}",
        "output": f"{settings.output}/{settings.name}/%j.log",
        "open-mode": "append",  # a job that is queued again keeps its log
    }
    given = [shlex.quote(f"--{key}={value}") for key, value in options.items() if value is not None]
    return [*given, "--requeue", "--exclusive"]
