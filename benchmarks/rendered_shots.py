"""Render films with known cuts: hard cuts, and everything that resembles them.

Shots are moving crops of textures with the spectrum of photographs (amplitude falls with the
frequency), coloured by a palette, or blocks with shapes that move over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

HEIGHT, WIDTH = 72, 96
Shot = Float[np.ndarray, "t h w 3"]


class Film(NamedTuple):
    """Frames, and the numbers of the first frames after hard cuts."""

    frames: UInt8[np.ndarray, "t h w 3"]
    cuts: list[int]


def texture(rng: np.random.Generator, side: int, palette: np.ndarray) -> Float[np.ndarray, "s s 3"]:
    """Return a random picture in [0, 1], each pixel a mixture of the colours of a palette."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    layers = []
    for _ in palette:
        spectrum = np.fft.fft2(rng.normal(size=(side, side))) / frequency**1.2
        spectrum[0, 0] = 0
        layer = np.fft.ifft2(spectrum).real
        layers.append(np.exp(1.5 * layer / layer.std()))
    mixture = np.stack(layers, -1)
    return (mixture / mixture.sum(-1, keepdims=True)) @ palette


def random_palette(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return three random colours, with components up to 0.35, 0.8 and 1."""
    return rng.uniform(0, 1, (3, 3)) * np.array([[0.35], [0.8], [1.0]])


def natural(
    rng: np.random.Generator, frames: int, speed: float = 0.4, palette: np.ndarray | None = None
) -> Shot:
    """Return a shot whose camera moves by `speed` pixels a frame over a texture."""
    picture = texture(rng, 256, random_palette(rng) if palette is None else palette)
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, 256, 2)
    step = speed * np.array([np.sin(angle), np.cos(angle)])
    return np.stack([_crop(picture, start + number * step) for number in range(frames)])


def blocks(rng: np.random.Generator, frames: int, speed: float = 1.0) -> Shot:
    """Return coloured blocks over which two squares move."""
    ground = np.kron(rng.uniform(0, 1, (6, 8, 3)), np.ones((12, 12, 1)))
    shot = np.repeat(ground[None], frames, 0)
    for _ in range(2):
        colour, place = rng.uniform(0, 1, 3), rng.uniform(0, [HEIGHT, WIDTH])
        step = speed * rng.normal(size=2)
        for number in range(frames):
            top, left = ((place + number * step) % [HEIGHT - 16, WIDTH - 16]).astype(int)
            shot[number, top : top + 16, left : left + 16] = colour
    return shot


def joined(shots: list[Shot], rng: np.random.Generator, grain: float = 1.0) -> Film:
    """Return the shots one after another, with noise of `grain` levels of 255."""
    cuts = np.cumsum([len(shot) for shot in shots])[:-1].tolist()
    return Film(_bytes(np.concatenate(shots), rng, grain), cuts)


def _crop(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return a crop at a fractional position, wrapped around the edges of the picture."""
    top, left = np.floor(place).astype(int)
    y, x = place - np.floor(place)
    rows, columns = np.arange(HEIGHT + 1) + top, np.arange(WIDTH + 1) + left
    crop = picture[np.ix_(rows % len(picture), columns % len(picture))]
    crop = crop[:-1] * (1 - y) + crop[1:] * y
    return crop[:, :-1] * (1 - x) + crop[:, 1:] * x


def _bytes(shot: Shot, rng: np.random.Generator, grain: float) -> np.ndarray:
    noisy = 255 * shot + grain * rng.standard_normal(shot.shape, np.float32)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _montage(look: Callable[[np.random.Generator, int], Shot], grain: float = 1.0):
    def film(rng: np.random.Generator) -> Film:
        return joined([look(rng, int(rng.integers(8, 30))) for _ in range(6)], rng, grain)

    return film


def _one(change: Callable[[np.random.Generator, Shot], Shot], frames: int = 48):
    """Return a function that renders a film of one shot with a change in it."""
    return lambda rng: joined([change(rng, natural(rng, frames))], rng)


def _similar(rng: np.random.Generator) -> Film:
    palette = random_palette(rng)
    return joined([natural(rng, 16, palette=palette) for _ in range(6)], rng)


def _ramp(shape: list[float], length: int = 48) -> Float[np.ndarray, "t 1 1 1"]:
    places = np.linspace(0, length - 1, len(shape))
    return np.interp(np.arange(length), places, shape)[:, None, None, None]


def _dissolve(rng: np.random.Generator, through: float | None = None) -> Film:
    """Return two shots with a dissolve of 6 to 24 frames, through a grey level if given."""
    length = int(rng.integers(6, 25))
    share = np.clip((np.arange(60) - 18) / length, 0, 1)[:, None, None, None]
    before, after = natural(rng, 60), natural(rng, 60)
    if through is None:
        return joined([before * (1 - share) + after * share], rng)
    out, back = np.clip(1 - 2 * share, 0, 1), np.clip(2 * share - 1, 0, 1)
    return joined([before * out + after * back + through * (1 - out - back)], rng)


def _flash(rng: np.random.Generator, shot: Shot, decay: float = 0.0) -> Shot:
    """Return the shot with a camera flash of one or two frames, or one that decays."""
    light = np.zeros(len(shot))
    start, length = int(rng.integers(6, 40)), int(rng.integers(1, 3))
    light[start : start + length] = rng.uniform(0.5, 3)
    for number in range(start + 1, len(shot)):
        light[number] = max(light[number], decay * light[number - 1])
    return np.minimum(shot * (1 + light[:, None, None, None]) + 0.2 * light[:, None, None, None], 1)


def _card(rng: np.random.Generator) -> Film:
    """Return a film of a title card, one colour with letters, whose exposure rises and falls."""
    card = np.ones((HEIGHT, WIDTH, 1)) * rng.uniform(0.3, 1, 3)
    for left in range(20, 76, 8):
        card[30:40, left : left + int(rng.integers(1, 6))] = rng.uniform(0, 1)
    return joined([card[None] * _ramp([0, 0, *rng.uniform(0.5, 1, 2), 0.1])], rng, 0.3)


def _fast_object(rng: np.random.Generator, shot: Shot) -> Shot:
    colour, size, speed = rng.uniform(0, 1, 3), int(rng.integers(20, 50)), rng.uniform(6, 20)
    for number in range(len(shot)):
        left = int(number * speed - 100 - size)
        shot[number, 10:60, max(left, 0) : max(left + size, 0)] = colour
    return shot


def _zoom(rng: np.random.Generator, shot: Shot) -> Shot:
    picture, factor = texture(rng, 256, random_palette(rng)), rng.uniform(0.96, 0.985)
    frames = []
    for number in range(len(shot)):
        scale = factor**number
        rows = (128 + (np.arange(HEIGHT) - HEIGHT / 2) * scale).astype(int)
        columns = (128 + (np.arange(WIDTH) - WIDTH / 2) * scale).astype(int)
        frames.append(picture[np.ix_(rows, columns)])
    return np.stack(frames)


def _starting_pan(rng: np.random.Generator) -> Film:
    """Return a film of a still camera that pans quickly for 4 to 15 frames and is still again."""
    picture, start = texture(rng, 256, random_palette(rng)), rng.uniform(0, 256, 2)
    path = np.interp(np.arange(48), [16, 16 + rng.integers(4, 16)], [0, rng.uniform(40, 120)])
    step = np.array([0.2, 1])
    return joined([np.stack([_crop(picture, start + place * step) for place in path])], rng)


def _flicker(rng: np.random.Generator, shot: Shot) -> Shot:
    return shot * (1 - rng.uniform(0, 0.5, (len(shot), 1, 1, 1)))


def _step_of_exposure(rng: np.random.Generator, shot: Shot) -> Shot:
    shot[20:] = np.minimum(shot[20:] * rng.uniform(1.3, 1.8), 1)
    return shot


FILMS: dict[str, Callable[[np.random.Generator], Film]] = {
    "cuts: natural": _montage(natural),
    "cuts: blocks and shapes": _montage(blocks),
    "cuts: fast movement": _montage(lambda rng, frames: natural(rng, frames, speed=4)),
    "cuts: dark": _montage(lambda rng, frames: 0.12 * natural(rng, frames)),
    "cuts: low contrast": _montage(lambda rng, frames: 0.45 + 0.1 * natural(rng, frames)),
    "cuts: one palette": _similar,
    "cuts: grain": _montage(natural, grain=10),
    "cuts: flat colours": _montage(
        lambda rng, frames: np.ones((frames, HEIGHT, WIDTH, 1)) * rng.uniform(0, 1, 3)
    ),
    "fade in and out": _one(lambda rng, shot: shot * _ramp([0, 1, 1, 0])),
    "fast fades": _one(lambda rng, shot: shot * _ramp([0, 0, 1, 1, 1, 1, 1, 1, 0, 0])),
    "fade through black": lambda rng: _dissolve(rng, 0.0),
    "fade through white": lambda rng: _dissolve(rng, 1.0),
    "dissolve": _dissolve,
    "brightening card": _card,
    "flash": _one(_flash),
    "flash that dies away": _one(lambda rng, shot: _flash(rng, shot, rng.uniform(0.4, 0.8))),
    "flicker": _one(_flicker),
    "exposure jumps": _one(_step_of_exposure),
    "slow pan": lambda rng: joined([natural(rng, 48, speed=2)], rng),
    "fast pan": lambda rng: joined([natural(rng, 48, speed=rng.uniform(6, 16))], rng),
    "swing of the camera": _starting_pan,
    "zoom": _one(_zoom),
    "fast object": _one(_fast_object),
    "grain": lambda rng: joined([natural(rng, 48)], rng, grain=25),
}
