import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data.render_style import INK, PAPER, blueprint
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.input_pipeline.sources import open_source
from lumiere_jax.moving_shapes.dataset import MovingShapes


def test_a_blueprint_has_white_outlines_on_blue_paper():
    shapes = MovingShapes(size=128)
    scene = shapes.scene(0)
    picture = blueprint(scene, 0.5, 128)
    assert picture.shape == (128, 128, 3)
    assert tuple(picture[10, 10]) == PAPER
    pose = scene.pose(np.array([0.5]))
    across = picture[int(pose.y[0] * 128)]  # through the shape's middle
    assert (across == INK).all(-1).any()


def test_the_style_stage_reads_the_command_s_output_which_is_never_overwritten(tmp_path):
    output = tmp_path / "style"
    command = [sys.executable, "-m", "data.render_style", f"--output={output}", "--count=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = DataConfig(source=f"images:{output}", size=32, image_frames=True)
    source = open_source(config)
    assert len(source) == 3
    example = source.read(1)
    np.testing.assert_array_equal(
        example.frames[0], np.asarray(Image.open(output / "style-01.png"))
    )
    assert example.caption == MovingShapes().caption(1)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert f"error: --output={output} is not empty" in again.stderr


def test_one_scene_is_the_same_blueprint_at_every_size():
    scene = MovingShapes().scene(5)
    large, small = blueprint(scene, 0.3, 128), blueprint(scene, 0.3, 32)
    shrunk = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() == pytest.approx(0, abs=8)
