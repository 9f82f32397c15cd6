"""Files of earlier versions: keys that a later version dropped or renamed, read as today's.

Keys in `model.json`, in a run's `config.json` and in checkpoints keep their names for good. A
version that does without one adds a step to `STEPS`, which removes the key where its value changes
nothing, maps it to an equal setting, or refuses it. Both files hold the same configurations, so
they share the version and the steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

FORMAT = "lumiere_jax"


class Step(NamedTuple):
    """A change between two versions.

    Attributes:
      version: version that the step leads to.
      change: function of a file's content, which it changes in place, and of the file's name for
        error messages; does nothing to a file that does not have the key.
    """

    version: int
    change: Callable[[dict[str, Any], str], None]


def migrate_model(found: dict[str, Any], where: str = "model.json") -> dict[str, Any]:
    """Return the content of a `model.json` of any version as the current version has it.

    Args:
      found: parsed file; it is not changed.
      where: the file, for error messages.

    Raises:
      ValueError: another format, a newer version, or a value that this version cannot compute; the
        message names the file and the key.
    """
    if found.get("format") != FORMAT:
        raise ValueError(f"{where}: format is {found.get('format')!r:.80}, expected {FORMAT!r}")
    migrated = _migrate(found, found.get("version"), where)
    return migrated | {"version": current_version()}


def migrate_experiment(found: dict[str, Any], where: str = "config.json") -> dict[str, Any]:
    """Return the content of a run's `config.json` of any version, as `Experiment` has it.

    The file need not name its version; it is then read as version 1. The result names none.

    Args:
      found: parsed file; it is not changed.
      where: the file, for error messages.

    Raises:
      ValueError: a newer version, or a value that this version cannot compute; the message names
        the file and the key.
    """
    migrated = _migrate(found, found.get("version", 1), where)
    migrated.pop("version", None)
    return migrated


def current_version() -> int:
    """Return the version of the files that this program writes."""
    return STEPS[-1].version


def _migrate(found: dict[str, Any], version: Any, where: str) -> dict[str, Any]:
    current = current_version()
    if type(version) is not int or version < 1:
        raise ValueError(f"{where}: version is {version!r:.40}, expected 1 to {current}")
    if version > current:
        raise ValueError(
            f"{where} has version {version}, and this program reads 1 to {current}: update "
            "lumiere_jax"
        )
    migrated = copy.deepcopy(found)
    for step in STEPS:
        if step.version > version:
            step.change(migrated, where)
    return migrated


def drop_key(content: dict[str, Any], key: str, neutral: Collection[Any], where: str) -> None:
    """Remove a key that this version does not have, if its value changes nothing.

    Args:
      content: dictionary that may have the key; it is changed.
      key: name of the key.
      neutral: values with which the key changes nothing.
      where: file and place of the dictionary, for error messages.

    Raises:
      ValueError: another value.
    """
    if key in content and content[key] not in neutral:
        raise ValueError(
            f"{where}: {key}={content[key]!r:.80} is not supported any more; use the version of "
            "lumiere_jax that wrote the file"
        )
    content.pop(key, None)


def find_sections(content: Any, name: str, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every dictionary under a key, at any depth, and its place for error messages.

    Args:
      content: parsed JSON.
      name: key of the dictionaries, such as "diffusion".
      where: the file, for error messages.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            if key == name and isinstance(value, dict):
                yield value, f"{where}: {name}"
            yield from find_sections(value, name, where)
    elif isinstance(content, list):
        for value in content:
            yield from find_sections(value, name, where)


def _map_velocity_weighting(content: dict[str, Any], where: str) -> None:
    """Map the loss weighting "velocity" to the equal "min_snr" with an SNR floor of 1."""
    for diffusion, place in find_sections(content, "diffusion", where):
        if diffusion.get("weighting") != "velocity":
            continue
        if diffusion.get("prediction") == "noise":
            raise ValueError(
                f"{place}: weighting='velocity' needs prediction='clean' or 'velocity', not 'noise'"
            )
        drop_key(diffusion, "snr_floor", (0,), place)  # velocity was refused with any other floor
        diffusion.update(weighting="min_snr", snr_floor=1.0)


def _drop_tensor_axis(content: dict[str, Any], where: str) -> None:
    """Remove the mesh axis `tensor`, which divided nothing.

    No number of a run depends on its mesh, and a run may be resumed on another: where the axis had
    several devices, the mesh is today's default.
    """
    for mesh, _ in find_sections(content, "mesh", where):
        if mesh.pop("tensor", 1) != 1:
            mesh.clear()


STEPS: tuple[Step, ...] = (Step(2, _map_velocity_weighting), Step(3, _drop_tensor_axis))
