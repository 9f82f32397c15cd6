"""Scene cuts are found, and movement is not taken for one."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import rendered_shots
from lumiere_jax.one_line_errors import MissingExtra
from lumiere_jax.video import ClipConfig, find_cuts
from lumiere_jax.video.cuts import mark_cuts
from lumiere_jax.video.scenedetect import mark_adaptive_cuts

RNG = np.random.default_rng(0)


def scene(seed, frames=12, speed=2):
    """Make a shot of coloured blocks that drift."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (8, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return np.stack([np.roll(ground, speed * index, 1)[:, :64] for index in range(frames)])


def test_every_cut_of_a_montage_is_found():
    shots = [scene(seed, frames=5 + seed) for seed in range(8)]
    starts = np.cumsum([len(shot) for shot in shots])[:-1].tolist()
    assert find_cuts(np.concatenate(shots)) == starts


def test_movement_is_not_a_cut():
    assert find_cuts(scene(1, frames=24, speed=3)) == []


def test_a_fast_object_is_not_a_cut():
    frames = scene(2, frames=24, speed=0)
    for index in range(24):
        left = 4 * index - 24
        frames[index, 16:48, max(left, 0) : max(left + 24, 0)] = 255
    assert find_cuts(frames) == []


def test_a_change_of_brightness_is_not_a_cut():
    frames = scene(3, frames=24, speed=0) // 2
    brighter = np.clip(frames * np.linspace(1, 2, 24)[:, None, None, None], 0, 255)
    assert find_cuts(brighter.astype(np.uint8)) == []


def test_noise_and_short_inputs_have_no_cuts():
    assert find_cuts(RNG.integers(0, 256, (8, 32, 32, 3), np.uint8)) == []
    assert find_cuts(scene(0)[:1]) == find_cuts([]) == []


def test_a_cut_at_the_second_and_at_the_last_frame_is_found():
    assert find_cuts(np.concatenate([scene(0, 1), scene(1, 6), scene(2, 1)])) == [1, 7]


CUTS = sorted(kind for kind in rendered_shots.FILMS if kind.startswith("cuts: "))
# A flash that fades over many frames counts as a cut if it hides the picture.
OTHERS = sorted(set(rendered_shots.FILMS) - {*CUTS, "flash that dies away"})


@pytest.mark.parametrize("kind", CUTS)
def test_hard_cuts_are_found_whatever_the_shots_look_like(kind):
    films = [rendered_shots.FILMS[kind](np.random.default_rng([7, seed])) for seed in range(2)]
    for film in films:
        found = set(find_cuts(film.frames))
        assert found <= set(film.cuts)
        assert len(found) >= len(film.cuts) - 1


@pytest.mark.parametrize("kind", OTHERS)
def test_films_without_hard_cuts_have_none(kind):
    films = [rendered_shots.FILMS[kind](np.random.default_rng([7, seed])) for seed in range(2)]
    assert [find_cuts(film.frames) for film in films] == [[], []]


@given(st.integers(2, 20), st.integers(0, 255), st.integers(0, 255), st.integers(0, 99))
@settings(max_examples=25)
def test_a_flat_card_of_any_speed_of_brightening_is_one_picture(frames, dark, light, seed):
    colour = np.random.default_rng(seed).uniform(0.2, 1, 3)
    levels = np.linspace(dark, light, frames + 2)[:, None] * colour
    resting = [levels[:1]] * 3 + [levels] + [levels[-1:]] * 3
    for shades in (levels, np.concatenate(resting)):
        shades = shades.round().astype(np.uint8)[:, None, None]
        assert find_cuts(np.broadcast_to(shades, (len(shades), 16, 16, 3))) == []


@given(st.integers(1, 2), st.integers(3, 20), st.integers(0, 99))
@settings(max_examples=25)
def test_a_flash_ends_in_the_shot_it_began_in(length, start, seed):
    frames = scene(seed, frames=26).astype(int)
    frames[start : start + length] = np.minimum(2 * frames[start : start + length] + 90, 255)
    assert find_cuts(frames.astype(np.uint8)) == []


@given(st.lists(st.integers(3, 9), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=25)
def test_cuts_do_not_depend_on_where_the_film_is_read_from(lengths, seed):
    shots = [scene(10 * seed + number, frames=length) for number, length in enumerate(lengths)]
    starts = np.cumsum(lengths)[:-1].tolist()
    marked = list(mark_cuts(iter(np.concatenate(shots))))
    assert [index for index, (_, cut) in enumerate(marked) if cut] == starts
    np.testing.assert_array_equal([frame for frame, _ in marked], np.concatenate(shots))


def test_without_pyscenedetect_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(MissingExtra, match=r"--cuts=adaptive .*pip install 'lumiere-jax\[scene"):
        ClipConfig(cuts="adaptive")
    with pytest.raises(ValueError, match="cuts='adaptiv' is none of builtin, adaptive"):
        ClipConfig(cuts="adaptiv")


def test_the_adaptive_detector_finds_cuts_where_it_is_installed():
    pytest.importorskip("scenedetect")
    shots = [scene(seed, frames=5 + seed) for seed in range(4)]
    marked = list(mark_adaptive_cuts(np.concatenate(shots)))
    starts = np.cumsum([len(shot) for shot in shots])[:-1].tolist()
    assert [index for index, (_, cut) in enumerate(marked) if cut] == starts
    np.testing.assert_array_equal([frame for frame, _ in marked], np.concatenate(shots))
