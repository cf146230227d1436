#!/usr/bin/env bash
# What a machine with Python 3.12 and PyTorch, but without network, lacks to run gpu_report.py:
#   bash benchmarks/gpu_wheels.sh DIR                 download wheels into DIR, at most 50 MB
#   bash benchmarks/gpu_wheels.sh DIR --prove PYTHON  then install them beside this 3.12, which has
#                                                     what the machine has, and run a quick report
# There, from this project's root, with DIR brought along:
#   python3 -m pip install --no-index --no-deps --target SITE DIR/*.whl
#   PYTHONPATH=$PWD:SITE python3 benchmarks/gpu_report.py --out OUT
# The machine has torch 2.11, torchvision 0.26, torchaudio 2.11, numpy, scipy, scikit-learn, h5py,
# joblib, matplotlib, einops, OpenCV, PyYAML, packaging and pytest. Without FAISS k-means is
# scikit-learn's, and decord is only for MMAction2's own pipelines.
set -euo pipefail

usage="usage: gpu_wheels.sh DIR [--prove PYTHON]"
dir=${1:?$usage}
[ $# -eq 1 ] || { [ $# -eq 3 ] && [ "$2" = --prove ]; } || { echo "$usage" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packages=(
  mmengine mmcv-lite mmaction2 addict yapf platformdirs termcolor rich markdown-it-py mdurl pygments
  av soundfile cffi pycparser soxr pebble setuptools pytest-timeout
)
platforms=(--platform any)
for version in 2_34 2_31 2_28 2_27 2_26 2_24 2_17 2_5; do
  platforms+=(--platform "manylinux_${version}_x86_64")
done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
# Two versions of one package would stop the installation.
find "$dir" -maxdepth 1 -name '*.whl' -delete
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  --abi cp312 --abi abi3 --abi none "${platforms[@]}" -c "$root/requirements/constraints.txt" \
  -d "$dir" "${packages[@]}"
bytes=$(cat "$dir"/*.whl | wc -c)
echo "$(ls "$dir"/*.whl | wc -l) wheels, $((bytes / 1000000)) MB, in $dir"
if [ "$bytes" -gt 50000000 ]; then
  echo "more than 50 MB" >&2
  exit 1
fi
[ $# -eq 3 ] || exit 0

python=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -c 'import sys; assert sys.version_info[:2] == (3, 12), sys.version'
"$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$dir"/*.whl
cd "$root"
export PYTHONPATH="$root:$work/site" OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
"$python" -W ignore - <<'PYTHON'
import importlib
import pkgutil

import cmac_mm

names = [module.name for module in pkgutil.walk_packages(cmac_mm.__path__, "cmac_mm.")]
for name in names:
    importlib.import_module(name)
print(f"{len(names)} modules imported")
PYTHON
"$python" benchmarks/gpu_report.py --device cpu --quick --limit 1800 --patience 5 --out "$work/report"
