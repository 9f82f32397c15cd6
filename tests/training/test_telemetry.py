"""`metrics.jsonl` stays readable after a crash or a power cut damages its end."""

import json

import pytest

from lumiere_jax.training.metric_writer import LINES, MetricWriter, read_lines

WHOLE = [{"step": step, "loss": 0.5} for step in (1, 2, 3)]


@pytest.mark.parametrize(
    "rest", [b"", b'{"step": 4, "lo', bytes(60), b'[1]\n"x"\n', b'{"loss": 1}\n', b"\xff\n"]
)
def test_half_a_line_is_dropped_and_the_next_begins_on_its_own(tmp_path, rest):
    path = tmp_path / LINES
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in WHOLE) + rest)
    assert read_lines(path) == WHOLE
    with MetricWriter(tmp_path, start=2, steps=3, clips=1) as writer:
        writer.write(3, {"loss": float("nan")})
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert len(read_lines(path)) == 3
