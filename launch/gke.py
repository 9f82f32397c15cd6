"""TPUs of a Kubernetes cluster on Google Cloud: a JobSet with one job a slice and one pod a host.

Kubernetes restarts the run. A pod that exits with 75, or loses its node, fails its job by the pod
failure policy, for which the JobSet restarts all jobs without counting; any other exit code counts
as one of `tries`. A JobSet has no delay, so the container waits before it passes such a code on.
"""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from launch.job import Job, Launch, Step, variables
from launch.restarts import AGAIN, WAIT_FOR_CHILD
from launch.tpus import LABELS, Slices, read_slices

CONTAINER = "train"
GRACE = 300  # seconds between SIGTERM and SIGKILL, for the checkpoint

# Passes SIGTERM on, since the shell is the container's first process.
ENTRY = """\
child= signals=0
pass_on() {{ signals=$((signals + 1)); [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }}
trap pass_on TERM
{command} &
child=$!
{wait}if [ "$code" -ne 0 ] && [ "$code" -ne {again} ]; then
  echo "launch: exit code $code, passed on in {backoff} s"
  sleep {backoff}
fi
exit "$code"
"""


def plan(job: Job) -> Launch:
    """Return the manifest, commands and figures of a run on GKE.

    Args:
      job: run to launch.

    Raises:
      ValueError: a topology that does not exist, or a folder of the run that ends with its pod.
    """
    settings = job.settings
    slices = read_slices(settings.topology, settings.slices)
    job.check_workdir("ends with its pod")
    environment = variables(settings, LIBTPU_INIT_ARGS=settings.libtpu_init_args)
    file = f"{settings.output}/{settings.name}/jobset.yaml"
    kubectl = ["kubectl", f"--namespace={settings.namespace}"]
    image = settings.shown("image")
    # The first pod of each slice: kubectl follows at most five pods.
    pods = f"jobset.sigs.k8s.io/jobset-name={settings.name}"
    pods += ",batch.kubernetes.io/job-completion-index=0"
    build = [
        Step(
            words="build the image",
            command=["docker", "build", "-f", "launch/Dockerfile", "-t", image, "."],
        ),
        Step(words="push the image", command=["docker", "push", image]),
    ]
    return Launch(
        job=job,
        hosts=slices.hosts * slices.count,
        processes=slices.hosts * slices.count,
        devices=slices.devices,
        slices=slices.count,
        environment=environment,
        files={file: to_yaml(_jobset(job, slices, environment))},
        steps=[
            *(build if settings.build else []),
            Step(words="create the JobSet", command=[*kubectl, "apply", "-f", file]),
        ],
        required=("image",),
        logs=shlex.join([*kubectl, "logs", "--follow", f"--selector={pods}", "--prefix"]),
        stop=shlex.join([*kubectl, "delete", "jobset", settings.name])
        + " (the cost ends when the cluster has removed the nodes)",
    )


def to_yaml(manifest: Any) -> str:
    """Return a manifest as YAML, with scripts as blocks of lines.

    Args:
      manifest: mappings, lists, texts and numbers.
    """

    class Dumper(yaml.SafeDumper):
        """Dumper that keeps the lines of a text."""

        def ignore_aliases(self, data: Any) -> bool:
            """Return True: a repeated value is written again."""
            return True

    def add_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, add_text)
    return yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=1 << 16)


def _jobset(job: Job, slices: Slices, environment: dict[str, str]) -> dict[str, Any]:
    settings = job.settings
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": settings.name,
            "namespace": settings.namespace,
            # All pods of a job on one slice, and no other pods there.
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
            },
        },
        "spec": {
            "failurePolicy": {
                "maxRestarts": settings.tries,
                "rules": [
                    {
                        "name": "preempted",
                        "action": "RestartJobSetAndIgnoreMaxRestarts",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {
                    "name": "slice",
                    "replicas": slices.count,
                    "template": {"spec": _slice(job, slices, environment)},
                }
            ],
        },
    }


def _slice(job: Job, slices: Slices, environment: dict[str, str]) -> dict[str, Any]:
    """Return the specification of a slice's job."""
    return {
        "parallelism": slices.hosts,
        "completions": slices.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # one pod's failure ends the job: the others cannot go on without it
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER,
                        "operator": "In",
                        "values": [AGAIN],
                    },
                },
                {
                    "action": "FailJob",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "template": {"spec": _pod(job, slices, environment)},
    }


def _pod(job: Job, slices: Slices, environment: dict[str, str]) -> dict[str, Any]:
    settings = job.settings
    selector = {
        "cloud.google.com/gke-tpu-accelerator": LABELS[slices.generation],
        "cloud.google.com/gke-tpu-topology": slices.shape,
    }
    if settings.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    entry = ENTRY.format(
        command=shlex.join(job.command("python3")),
        again=AGAIN,
        wait=WAIT_FOR_CHILD,
        backoff=round(settings.backoff_seconds),
    )
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        "nodeSelector": selector,
        "containers": [
            {
                "name": CONTAINER,
                "image": settings.shown("image"),
                "command": ["bash", "-c", entry],
                "env": [{"name": key, "value": value} for key, value in environment.items()],
                "resources": {"limits": {"google.com/tpu": slices.chips_per_host}},
            }
        ],
    }
