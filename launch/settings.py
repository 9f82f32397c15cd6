"""Settings of a launch: a YAML file, overridden by flags."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml  # flax and ml_collections depend on it

from lumiere_jax.structure import check_choice, check_fields, suggest

FILE = "launch/settings.yaml"
# Values that work, for the message about one that is missing.
EXAMPLES = {
    "project": "my-project",
    "zone": "us-east5-a",
    "image": "us-docker.pkg.dev/my-project/images/lumiere:1",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of all platforms; `launch/settings.yaml` describes each and has the defaults."""

    name: str
    output: str
    xla_flags: str
    environment: dict[str, str]
    backoff_seconds: float
    tries: int
    progress_seconds: float
    topology: str
    slices: int
    spot: bool
    libtpu_init_args: str
    project: str | None
    zone: str | None
    runtime: str | None
    queued: bool
    create: bool
    python: str
    image: str | None
    build: bool
    namespace: str
    nodes: int
    gpus_per_node: int
    task: str
    partition: str | None
    account: str | None
    time: str
    venv: str | None
    processes: int
    devices_per_process: int | None
    grace_seconds: float

    def __post_init__(self):
        check_fields(
            self,
            whole={
                "tries": (0, 1000),
                "slices": (1, 256),
                "nodes": (1, 10_000),
                "gpus_per_node": (1, 64),
                "processes": (1, 64),
            },
            ranges={
                "backoff_seconds": (0, 1e5),
                "progress_seconds": (0, 1e6),
                "grace_seconds": (0, 1e5),
            },
            prefix="--",
        )
        if self.devices_per_process is not None:
            check_fields(self, whole={"devices_per_process": (1, 1024)}, prefix="--")
        check_choice("--task", self.task, ("node", "gpu"))
        # Names of TPU VMs, JobSets and folders alike; a JobSet adds to it, up to 63 characters.
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", self.name):
            raise ValueError(
                f"--name={self.name!r:.80}: use at most 40 of a-z, 0-9 and -, beginning with a "
                "letter, such as --name=lumiere"
            )
        for key in self.environment:
            if not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
                raise ValueError(
                    f"environment: {key!r:.80} is not the name of a variable; try {{TZ: UTC}}"
                )

    def shown(self, key: str) -> str:
        """Return a value as text, or `<key>` where none is chosen.

        Args:
          key: name of a setting.
        """
        value = getattr(self, key)
        return f"<{key}>" if value is None else str(value)

    def require(self, *keys: str) -> None:
        """Raise a ValueError that names the first setting without a value.

        Args:
          *keys: names of settings.
        """
        for key in keys:
            if getattr(self, key) is None:
                raise ValueError(
                    f"--{key} is missing; give --{key}={EXAMPLES[key]} or set it in the file of "
                    "--settings"
                )


def read_settings(path: str, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of a file, in which missing keys have the values of the shipped file.

    Args:
      path: YAML file.
      overrides: values of flags, which take precedence; None for a flag that is not given.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: a key that does not exist, or a value of another type or out of range.
    """
    values = _read(pathlib.Path(__file__).with_name("settings.yaml")) | _read(pathlib.Path(path))
    values |= {key: value for key, value in overrides.items() if value is not None}
    hints = typing.get_type_hints(Settings)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(
                f"--settings={path}: {key!r:.80} is not a setting{suggest(key, hints)}"
            )
        values[key] = _convert(key, value, hints[key])
    return Settings(**values)


def _read(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"--settings={path}: no such file; try --settings={FILE}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"--settings={path} is not YAML: {error}") from None
    if not isinstance(values, dict | None) or not all(isinstance(key, str) for key in values or {}):
        raise ValueError(f"--settings={path} has no lines such as `zone: us-east5-a`")
    return values or {}


def _convert(key: str, value: Any, hint: Any) -> Any:
    """Return a value of the file as its setting's type."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    kind = typing.get_origin(options[0]) or options[0]
    if kind is dict and isinstance(value, dict):
        return {str(name): str(item) for name, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        shown = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ValueError(f"--{key}={value!r:.80} is not {shown.get(kind, 'a list of names')}")
    return value
