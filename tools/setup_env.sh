#!/usr/bin/env bash
# Set up the Python environment and print the path of its interpreter; quick when nothing changed.
#   python=$(bash tools/setup_env.sh)
# Uses the active virtual or conda environment, else makes .venv in the checkout with the first
# fitting Python (or PYTHON, if set). Messages go to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
need_gib=8

say() { echo "setup_env: $*" >&2; }
die() {
    say "$*"
    exit 1
}
fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

if [ -n "${VIRTUAL_ENV:-}" ]; then
    env=$VIRTUAL_ENV
elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-}" != base ]; then
    env=$CONDA_PREFIX
else
    env=$root/.venv
fi
python=$env/bin/python

# Everything the installation depends on.
stamp=$env/.cmac_mm_setup
state() {
    "$python" -c 'import sys; print(sys.version)'
    echo "$root"
    cat "$root"/requirements/*.txt "$root/setup.py" "$root/pyproject.toml" "${BASH_SOURCE[0]}"
}
if [ -x "$python" ] && [ -f "$stamp" ] && [ "$(state | cksum)" = "$(cat "$stamp")" ]; then
    echo "$python"
    exit 0
fi

existing=$env
while [ ! -d "$existing" ]; do existing=$(dirname "$existing"); done
free_gib=$(($(df -Pk "$existing" | awk 'NR == 2 { print $4 }') / 1024 / 1024))
if [ "$free_gib" -lt "$need_gib" ] && ! "$python" -c 'import torch' 2>/dev/null; then
    die "PyTorch and its CUDA libraries need about $need_gib GiB; $existing has $free_gib GiB free"
fi

if [ ! -x "$python" ]; then
    base=
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10 python3.13}; do
        if fits "$candidate"; then
            base=$candidate
            break
        fi
    done
    [ -n "$base" ] || die "no Python 3.10 to 3.13 found (looked for ${PYTHON:-python3, python3.10 to" \
        "python3.13}); install one, or set PYTHON to its path"
    say "making $env with $("$base" --version)"
    if ! "$base" -m venv "$env" >&2; then
        rm -rf "$env"
        die "$base cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
    fi
fi
fits "$python" || die "$("$python" --version) in $env; Python 3.10 to 3.13 is needed"

has() { "$python" -c "import importlib.metadata as m; m.version('$1')" 2>/dev/null; }
pip_install() {
    "$python" -m pip install --quiet --disable-pip-version-check \
        -c "$root/requirements/constraints.txt" "$@" >&2
}

say "installing the versions of requirements/constraints.txt into $env (a few minutes the first time)"
mapfile -t runtime < <(grep -v -E '^(#|mm)' "$root/requirements/runtime.txt")
# An OpenCV that works is left alone; else the build that needs no libGL.
"$python" -c 'import cv2' 2>/dev/null || runtime+=(opencv-python-headless)
pip_install "${runtime[@]}" -r "$root/requirements/openmmlab.txt" -r "$root/requirements/test.txt" \
    -r "$root/requirements/docs.txt"
# Without dependencies: those are installed above, less the GUI builds of OpenCV.
openmmlab=(mmengine mmaction2)
# Full mmcv is kept: mmcv-lite would overwrite its files.
has mmcv || openmmlab+=(mmcv-lite)
pip_install --no-deps "${openmmlab[@]}"
pip_install --no-deps --no-build-isolation --editable "$root"

# cv2 can be broken by another build of OpenCV laid over it.
"$python" -c 'import cv2' 2>/dev/null ||
    pip_install --no-deps --force-reinstall opencv-python-headless
"$python" -c 'import cmac_mm' >&2 || die "the installation in $env does not work, see above"

state | cksum >"$stamp"
say "done"
echo "$python"
