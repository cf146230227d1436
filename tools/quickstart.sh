#!/usr/bin/env bash
# From a fresh clone to a table and pictures: set up, make the built-in set of videos, pretrain CMAC
# on it with a thin network, evaluate. Steps that are done are skipped when it is run again.
set -euo pipefail

start=$SECONDS
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(bash "$root/tools/setup_env.sh")
cd "$root"

config=configs/demo/cmac_sounding-shapes.py
data=data/sounding_shapes
work_dir=work_dirs/quickstart
last=$work_dir/epoch_6.pth

step() { echo "== $* (after $((SECONDS - start)) s)"; }

step "making the videos in $data"
if [ ! -f "$data/.done" ]; then
    "$python" tools/data/make_sounding_shapes.py "$data"
    touch "$data/.done"
fi

step "pretraining with $config"
if [ ! -f "$last" ]; then
    "$python" tools/train.py "$config" --seed 0 --work-dir "$work_dir" --resume
fi

step "evaluating"
"$python" tools/evaluate.py "$config" "$last" --work-dir "$work_dir"
echo "quickstart: $((SECONDS - start)) s in total; logs, checkpoints and pictures are in $work_dir"
echo "on your videos: $python tools/infer.py VIDEO --model $config --weights $last --pictures --overlays"
