"""Prepare captioned videos for training: exact clips in ArrayRecord shards, with an index.

    python -m lumiere_jax.prepare --source=videos/ --output=clips/ --size=128 --frames=80 --fps=16

--source is a folder (the caption of street.mp4 in street.txt beside it) or a manifest (.jsonl or
.csv) with `path` and `caption`. Videos that cannot be used are listed with the reason in
rejected.jsonl. Run the same command again to resume after an interruption. See data/README.md.
"""

from __future__ import annotations

import os

from absl import flags
from etils import epath

from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, ENCODINGS
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.preparation.clips import LONG_CAPTION, prepare
from lumiere_jax.video.clips import CUT_DETECTORS, ClipConfig
from lumiere_jax.video.limits import ReadLimits


def define_flags() -> None:
    """Define the flags, only if this file is the program."""
    define_path("source", None, "Folder of videos, manifest.jsonl or manifest.csv.", required=True)
    define_path("output", None, "Folder to write; new, or of an interrupted run.", required=True)
    flags.DEFINE_integer("size", 128, "Side of the square frames, in pixels.")
    flags.DEFINE_integer("frames", 80, "Frames of a clip.")
    flags.DEFINE_float("fps", 16, "Frames a second.")
    flags.DEFINE_enum(
        "encoding", DEFAULT_ENCODING, list(ENCODINGS), "Encoding of the frames, see data/README.md."
    )
    flags.DEFINE_enum(
        "cuts", "builtin", list(CUT_DETECTORS), "Detector of cuts; adaptive is PySceneDetect's."
    )
    flags.DEFINE_integer("clips_per_shard", 100, "Clips in one file.")
    flags.DEFINE_float("max_seconds", 4 * 3600, "Reject longer videos.")
    flags.DEFINE_integer(
        "workers", None, "Processes; 0 works in this one. Default: one for each core."
    )
    flags.DEFINE_bool(
        "check_times", True, "Do not resume if the videos' modification times have changed."
    )


def main(_: list[str]) -> None:
    """Prepare the clips that the flags describe, and report their number."""
    values = flags.FLAGS
    worker_count = values.workers if values.workers is not None else os.cpu_count() or 1
    try:
        settings = ClipConfig(
            size=values.size,
            frames=values.frames,
            fps=values.fps,
            limits=ReadLimits(max_seconds=values.max_seconds),
            cuts=values.cuts,
        )
    except ValueError as error:  # its fields have the flags' names
        raise ValueError(f"--{error}") from None
    index = prepare(
        values.source,
        values.output,
        settings,
        encoding=values.encoding,
        clips_per_shard=values.clips_per_shard,
        worker_count=worker_count,
        check_times=values.check_times,
    )
    _report(index, values.source, epath.Path(values.output))


def _report(index: dict, source: str, output: epath.Path) -> None:
    counts, rejected = index["counts"], output / "rejected.jsonl"
    if not counts["clips"]:
        raise ValueError(
            f"none of the {counts['videos']} inputs of --source={source} gave a clip; {rejected} "
            "says why"
        )
    print(f"{counts['clips']} clips of {counts['videos']} videos in {output}")
    if counts["rejected"]:
        print(f"{counts['rejected']} videos rejected; {rejected} says why")
    if long := index.get("captions", {}).get(f"over_{LONG_CAPTION}_words"):
        print(
            f"{long} captions have more than {LONG_CAPTION} words, the longest "
            f"{index['captions']['longest_words']}: a model that reads 64 tokens does not read "
            "them to the end; lumiere_jax.embed_text and training count tokens"
        )


if __name__ == "__main__":
    define_flags()
    run(main)
