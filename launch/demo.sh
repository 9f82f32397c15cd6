#!/usr/bin/env bash
# The whole path, small: captioned videos → clips → two training stages → a generated clip.
# Running it again continues where it stopped. PYTHON and WORKDIR may be set from outside.
set -euo pipefail
PYTHON=${PYTHON:-python3}
WORKDIR=${WORKDIR:-runs/demo}
IMAGE_STEPS=${IMAGE_STEPS:-200}
BASE_STEPS=${BASE_STEPS:-40}
PROMPT=${PROMPT:-a red circle moves right on a dark background}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/5  Captioned videos (drawn here; put your own into a folder like $WORKDIR/videos)"
[ -e "$WORKDIR/videos" ] || "$PYTHON" -m data.render_shapes --output="$WORKDIR/videos" --count=200 --size=32

say "2/5  Clips of 80 frames"
"$PYTHON" -m data.prepare --source="$WORKDIR/videos" --output="$WORKDIR/clips" --size=32 --frames=80 --fps=16

say "3/5  The image half learns pictures ($IMAGE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:image --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/clips" --config.train.steps="$IMAGE_STEPS"

say "4/5  The temporal half learns motion; the image half is frozen ($BASE_STEPS steps)"
"$PYTHON" -m lumiere_jax.train --config=configs/demo.py:base --workdir="$WORKDIR" \
  --config.data.source="records:$WORKDIR/clips" --config.train.steps="$BASE_STEPS"

say "5/5  A clip from a prompt"
"$PYTHON" -m lumiere_jax.sample --model="$WORKDIR" --prompt="$PROMPT" --seed=0 --output="$WORKDIR/samples"

say "Made:"
newest=$(ls -t "$WORKDIR"/samples/*.mp4 | head -1)
echo "  clip           $newest"
echo "  contact sheet  ${newest%.mp4}.png"
echo "  loss curves    $WORKDIR/image/loss.png  $WORKDIR/base/loss.png"
echo "A few minutes on a CPU teach the background and one bright object, not yet colour, shape or motion: see README."
