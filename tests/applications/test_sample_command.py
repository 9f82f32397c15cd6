"""`python -m lumiere_jax.sample` as a user runs it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lumiere_jax.checkpoints import write_model
from lumiere_jax.video import read_video
from tests.tiny import tiny_model

PHOTO = np.full((12, 8, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a model, a photo and a mask to a folder."""
    folder = tmp_path_factory.mktemp("sample")
    write_model(folder / "model", tiny_model())
    Image.fromarray(PHOTO).save(folder / "photo.png")
    mask = np.zeros((12, 8), np.uint8)
    mask[:, :4] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


def run(folder, *arguments):
    command = [sys.executable, "-m", "lumiere_jax.sample", "--model=model", *arguments]
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_cinemagraph_from_files(folder):
    done = run(
        folder,
        "--application=cinemagraph",
        "--image=photo.png",
        "--mask=mask.png",
        "--prompt=smoke",
        "--conditioning=free",
        "--preview=2",
        "--steps=2",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"clips/clip-00001.{end}" for end in ("mp4", "png", "json")]
    video, _ = read_video(folder / "clips" / "clip-00001.mp4")
    assert video.shape == (4, 8, 8, 3)
    # The right half of every frame is the photo's, up to the losses of H.264 at the border.
    assert np.abs(video[:, :, 6:].astype(int) - 90).mean() < 12
    assert np.abs(video[1:, :, :3].astype(int) - 90).mean() > 40
    recipe = json.loads((folder / "clips" / "clip-00001.json").read_text())
    assert (recipe["application"], recipe["mask"]) == ("cinemagraph", "mask.png")
    assert list((folder / "clips" / "clip-00000-preview").iterdir())


def test_an_error_is_one_line(folder):
    done = run(folder, "--application=image_to_video", "--image=photo.png", "--prompt=a")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: --conditioning=trained: this model was not fine-tuned")
    assert "Traceback" not in done.stderr
