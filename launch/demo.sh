#!/usr/bin/env bash
# The model that comes with the code at work, then the whole path of training, small:
# captioned videos → clips → two stages → a clip. Running it again continues where it stopped.
# PYTHON and WORKDIR may be set from outside, and how long to train.
set -euo pipefail
PYTHON=${PYTHON:-python3}
WORKDIR=${WORKDIR:-runs/demo}
MODEL=${MODEL:-data/demo}
IMAGE_STEPS=${IMAGE_STEPS:-120}
BASE_STEPS=${BASE_STEPS:-40}
PROMPT=${PROMPT:-a green circle moves right on a dark background}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
newest() { ls -t "$1"/*.mp4 | head -1; }

say "1/6  A clip from a prompt: all frames in one pass, then super-resolution to 128×128"
"$PYTHON" -m lumiere_jax.sample --model="$MODEL" --prompt="$PROMPT" --seed=0 --output="$WORKDIR/clips"
clip=$(newest "$WORKDIR/clips")

say "2/6  Its applications, at the base's 32×32"
shown=$WORKDIR/applications-$(date +%Y%m%d-%H%M%S)
"$PYTHON" -m launch.applications --model="$MODEL" --output="$shown"

say "3/6  Now from nothing. Captioned videos (drawn here; put your own into a folder like $WORKDIR/videos) become clips"
[ -e "$WORKDIR/videos" ] || "$PYTHON" -m data.render_shapes --output="$WORKDIR/videos" --count=100 --size=32 --frames=16 --fps=8
"$PYTHON" -m lumiere_jax.prepare --source="$WORKDIR/videos" --output="$WORKDIR/records" --size=32 --frames=16 --fps=8

# Each of two devices on its own core is faster than one device on both: convolutions of this size
# hardly use a second thread.
export XLA_FLAGS="--xla_force_host_platform_device_count=2 ${XLA_FLAGS:-}"
# glibc gives large arrays back to the system after every step and clears them anew for the next.
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
export MALLOC_TOP_PAD_=268435456

say "4/6  The image half learns pictures ($IMAGE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:image --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/records" --config.train.steps="$IMAGE_STEPS" \
  --config.train.evaluate_every=0 --config.train.log_every=5

say "5/6  The temporal half learns motion; of the image half only what reads text goes on learning ($BASE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:base --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/records" --config.train.steps="$BASE_STEPS" \
  --config.train.evaluate_every=0 --config.train.log_every=5

say "6/6  A clip of the model that was just trained"
"$PYTHON" -m lumiere_jax.sample --model="$WORKDIR" --prompt="$PROMPT" --seed=0 --output="$WORKDIR/samples"
trained=$(newest "$WORKDIR/samples")

say "Made:"
echo "  by the model in $MODEL"
echo "    clip           $clip"
echo "    contact sheet  ${clip%.mp4}.png"
echo "    applications   $shown/applications.png"
echo "  by the model trained just now ($IMAGE_STEPS + $BASE_STEPS steps are too few for an object)"
echo "    clip           $trained"
echo "    loss curves    $WORKDIR/image/loss.png  $WORKDIR/base/loss.png"
