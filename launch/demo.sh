#!/usr/bin/env bash
# Sample from the model that comes with the code, then train a small one from the start:
# captioned videos → clips → two stages → a clip. Running it again resumes where it stopped.
# Environment variables set the Python, the folder, the model, the prompt and the training steps.
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

say "3/6  Training from the start: captioned videos become clips (rendered here; put your own into $WORKDIR/videos)"
[ -e "$WORKDIR/videos" ] || "$PYTHON" -m data.render_shapes --output="$WORKDIR/videos" --count=100 --size=32 --frames=16 --fps=8
"$PYTHON" -m lumiere_jax.prepare --source="$WORKDIR/videos" --output="$WORKDIR/records" --size=32 --frames=16 --fps=8

# Two devices on a core each are faster than one device on both: convolutions of this size hardly
# use a second thread.
export XLA_FLAGS="--xla_force_host_platform_device_count=2 ${XLA_FLAGS:-}"
# Without these, glibc returns large arrays to the system after every step and clears them again.
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
export MALLOC_TOP_PAD_=268435456

say "4/6  Train the image model ($IMAGE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:image --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/records" --config.train.steps="$IMAGE_STEPS" \
  --config.train.evaluate_every=0 --config.train.log_every=5

say "5/6  Train the temporal layers, and the text layers of the image model ($BASE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:base --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/records" --config.train.steps="$BASE_STEPS" \
  --config.train.evaluate_every=0 --config.train.log_every=5

say "6/6  A clip from the model that was just trained"
"$PYTHON" -m lumiere_jax.sample --model="$WORKDIR" --prompt="$PROMPT" --seed=0 --output="$WORKDIR/samples"
trained=$(newest "$WORKDIR/samples")

say "Results:"
echo "  of the model in $MODEL"
echo "    clip           $clip"
echo "    contact sheet  ${clip%.mp4}.png"
echo "    applications   $shown/applications.png"
echo "  of the model that was just trained ($IMAGE_STEPS + $BASE_STEPS steps are too few for an object)"
echo "    clip           $trained"
echo "    loss curves    $WORKDIR/image/loss.png  $WORKDIR/base/loss.png"
