"""The results as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Mapping[str, Any]]


def table(results: Results) -> str:
    """Format every section, its protocol above its numbers."""
    sections = {
        "prompts": _accuracy,
        "fvd": _distances,
        "applications": _applications,
        "refinement": _refinement,
    }
    lines = []
    for name, format_lines in sections.items():
        if name in results:
            lines += [f"{name}: {_protocol(results[name]['protocol'])}"]
            lines += [f"  {line}" for line in format_lines(results[name])] + [""]
    return "\n".join(lines).rstrip()


def _protocol(protocol: Mapping[str, Any]) -> str:
    samplers = ", ".join(
        f"{stage} {sampler['sampler']} {sampler['steps']} steps guidance "
        f"{sampler['guidance_scale']:g}"
        for stage, sampler in protocol["samplers"].items()
    )
    rest = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in protocol.items()
        if name not in ("samplers", "weights", "model", "windows")
    ]
    rest += [
        f"{stage} windows of {window['frames']} frames overlapping by {window['overlap']}"
        for stage, window in protocol.get("windows", {}).items()
    ]
    return f"{protocol['model']}, {samplers}, {', '.join(rest)}"


def _accuracy(section: Mapping[str, Any]) -> list[str]:
    lines = [f"{'':12}{'clips':>9}{'rendered':>10}{'chance':>9}"]
    for word, value in section["accuracy"].items():
        chance = section["chance"].get(word)
        shown = "" if chance is None else f"{chance:9.3f}"
        lines.append(f"{word:12}{value:9.3f}{section['rendered'][word]:10.3f}{shown}")
    # Above, "motion" is a word of the prompt; here it is the fraction of pixels that change.
    for name, label in (("flicker", "flicker"), ("motion", "moving")):
        if name not in section:
            continue
        lines.append(f"{label:12}{section[name]['clips']:9.3f}{section[name]['rendered']:10.3f}")
    return lines


def _distances(section: Mapping[str, Any]) -> list[str]:
    against = {
        "generated": "clips",
        "rendered": "other renderings: the distance of a perfect model",
        "shuffled": "those renderings with shuffled frames",
    }
    return [f"{section[name]:10.2f}  {words}" for name, words in against.items()]


def _applications(section: Mapping[str, Any]) -> list[str]:
    units = {"first_frame": "dB", "kept": "dB", "hidden": "dB", "jump": "", "moves": "grey levels"}
    return [
        f"{application:16}{name:12}{_number(value):>9} {units[name]}".rstrip()
        for application, numbers in section.items()
        if application != "protocol"
        for name, value in numbers.items()
    ]


def _refinement(section: Mapping[str, Any]) -> list[str]:
    return [f"{name:12}{section[name]:9.2f} dB" for name in ("refined", "bicubic")]


def _number(value: float | None) -> str:
    return "exact" if value is None else f"{value:.2f}"
