"""Captions of synthetic scenes: a small grammar of several phrasings, and its parser."""

from __future__ import annotations

import numpy as np

from lumiere_jax.moving_shapes.scenes import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    SHAPES,
    Attributes,
    combinations,
)

# Pairs of verb and participle. With these words no caption is longer than 63 bytes: 64 tokens with
# the end token.
VERBS = {
    "left": (("moves left", "moving left"), ("slides left", "sliding left")),
    "right": (("moves right", "moving right"), ("slides right", "sliding right")),
    "up": (("moves up", "moving up"), ("rises", "rising")),
    "down": (("moves down", "moving down"), ("sinks", "sinking")),
    "grow": (("grows", "growing"), ("gets larger", "getting larger")),
    "shrink": (("shrinks", "shrinking"), ("gets smaller", "getting smaller")),
    "spin": (("spins", "spinning"), ("rotates", "rotating")),
    "bounce": (("bounces", "bouncing"), ("hops", "hopping")),
    "orbit": (("orbits", "orbiting"), ("loops", "looping")),
}
TEMPLATES = (
    "a {colour} {shape} {verb} on a {background} background",
    "on a {background} background, a {colour} {shape} {verb}",
    "a {shape} in {colour} {verb} on a {background} background",
    "a {colour} {shape} is {participle} on a {background} background",
    "{background} background: a {colour} {shape} {participle}",
)


def prompt(attributes: Attributes) -> str:
    """Return the plain caption, such as "a red circle bounces on a dark background"."""
    return _phrase(attributes, TEMPLATES[0], VERBS[attributes.motion][0])


def caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """Return a caption in a random phrasing; with probability 1/2 the plain one."""
    if rng.uniform() < 0.5:
        return prompt(attributes)
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    verbs = VERBS[attributes.motion]
    return _phrase(attributes, template, verbs[rng.integers(len(verbs))])


def heldout_prompts() -> list[str]:
    """Return the plain captions of all combinations that never occur in training."""
    return [prompt(attributes) for attributes in combinations("heldout")]


def read_caption(text: str) -> Attributes:
    """Parse a caption of this grammar.

    Raises:
      ValueError: the text does not name exactly one word of each attribute.
    """
    verbs = {form: motion for motion, pairs in VERBS.items() for pair in pairs for form in pair} | {
        motion: motion for motion in MOTIONS
    }
    return Attributes(
        colour=_only(text, {name: name for name in COLOURS}, "colour"),
        shape=_only(text, {name: name for name in SHAPES}, "shape"),
        motion=_only(text, verbs, "motion"),
        background=_only(text, {name: name for name in BACKGROUNDS}, "background"),
    )


def _phrase(attributes: Attributes, template: str, verb: tuple[str, str]) -> str:
    return template.format(
        colour=attributes.colour,
        shape=attributes.shape,
        background=attributes.background,
        verb=verb[0],
        participle=verb[1],
    )


def _only(text: str, words: dict[str, str], what: str) -> str:
    padded = f" {text.lower().replace(',', ' ').replace(':', ' ').replace('.', ' ')} "
    found = {meaning for word, meaning in words.items() if f" {word} " in padded}
    if len(found) != 1:
        expected = ", ".join(sorted(set(words.values())))
        raise ValueError(f"prompt {text!r}: expected one {what} out of {expected}")
    return found.pop()
