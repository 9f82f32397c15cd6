import subprocess
import sys

from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.moving_shapes.shapes import prompt_accuracy
from lumiere_jax.video import read_video


def render(*flags):
    command = [sys.executable, "-m", "data.render_shapes", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_videos_show_what_their_caption_files_say_and_are_not_written_over(tmp_path):
    output = tmp_path / "videos"
    flags = (f"--output={output}", "--count=2", "--size=32", "--seed=3")
    assert render(*flags).returncode == 0
    captions = [(output / f"scene-{i:05d}.txt").read_text().strip() for i in range(2)]
    assert captions == [MovingShapes(seed=3).caption(i) for i in range(2)]
    videos = [read_video(output / f"scene-{i:05d}.mp4")[0] for i in range(2)]
    assert videos[0].shape == (80, 32, 32, 3)
    assert set(prompt_accuracy(videos, captions).values()) == {1.0}
    again = render(*flags)
    assert again.returncode != 0
    assert f"error: --output={output} is not empty" in again.stderr
