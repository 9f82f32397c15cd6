"""Checks of `model.json`: names inside the folder, and values of the expected kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etils import epath

from lumiere_jax.checkpoints.migrations import migrate_model
from lumiere_jax.json_files import plain_name, read_json
from lumiere_jax.structure import check_choice, check_range, check_whole

_UNET, _TEXT = _TYPES = ("UNetConfig", "T5Config")
_NETWORKS = 64  # a cascade has three
_ADVICE = "download the folder again, or make it with `python -m lumiere_jax.convert`"
# Settings that more than one program reads; `sampling` checks all settings of a network.
_WHOLE = {"size": (8, 8192), "frames": (1, 1 << 16), "length": (1, 8192)}


def read_description(path: epath.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entries of the networks by name, and the settings of the whole model.

    Raises:
      ValueError: not JSON, another format, a newer version, or a field of another kind; the message
        names the file and the field.
    """
    found = migrate_model(read_json(path, advice=_ADVICE), str(path))
    networks, settings = (_object(found, name, str(path)) for name in ("networks", "settings"))
    if not 1 <= len(networks) <= _NETWORKS:
        raise ValueError(f"{path}: {len(networks)} networks; expected 1 to {_NETWORKS}")
    for name, entry in networks.items():
        check_network_name(name, str(path))
        _check_network(name, entry, f"{path}: {name}")
    _check_settings(settings, networks, str(path))
    return networks, settings


def check_network_name(name: str, where: str) -> None:
    """Raise a ValueError unless a name can name a network, and so its file."""
    if not name.replace("_", "").isalnum() or len(name.encode()) > 100:
        raise ValueError(
            f"{where}: {name!r:.80} cannot name a network; letters, digits and _ can, like 'base'"
        )


def _object(found: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = found.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{where}: {name} is {value!r:.40}, expected an object; {_ADVICE}")
    return value


def _check_network(name: str, entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {entry!r:.40}, expected an object; {_ADVICE}")
    check_choice(f"{where}: type", entry.get("type"), _TYPES)
    _object(entry, "config", where)
    settings = _object(entry, "settings", where)
    file = plain_name(entry.get("file", f"{name}.safetensors"), f"{where}: file")
    if file != f"{name}.safetensors":
        raise ValueError(f"{where}: file is {file!r:.80}, expected {name}.safetensors")
    for field, (low, high) in _WHOLE.items():
        if field in settings:
            check_whole(f"{where}: settings.{field}", settings[field], low, high)
    for field in ("diffusion", "sampler"):
        if field in settings:
            _object(settings, field, f"{where}: settings")
    if "tokenizer" in settings:
        plain_name(settings["tokenizer"], f"{where}: settings.tokenizer")


def _check_settings(
    settings: Mapping[str, Any], networks: Mapping[str, dict[str, Any]], where: str
) -> None:
    if not isinstance(settings.get("name", ""), str):
        raise ValueError(f"{where}: settings.name is {settings['name']!r:.40}, expected text")
    if "frame_rate" in settings:
        check_range(f"{where}: settings.frame_rate", settings["frame_rate"], 0.01, 1000)
    if "text" in networks:
        check_choice(f"{where}: text: type", networks["text"]["type"], (_TEXT,))
    stages = settings.get("stages")
    if stages is None:
        return
    unets = [name for name, entry in networks.items() if entry["type"] == _UNET]
    listed = isinstance(stages, list) and all(isinstance(name, str) for name in stages)
    if not listed or not stages or len(set(stages)) < len(stages) or not set(stages) <= set(unets):
        raise ValueError(
            f"{where}: settings.stages is {stages!r:.80}, expected some of the U-Nets "
            f"({', '.join(unets) or 'it has none'}), each once"
        )
