#!/usr/bin/env bash
# Set up the environment, lint, check the types, and run the tests. Options go to pytest:
#   bash tools/run_tests.sh                 all but the slow tests
#   bash tools/run_tests.sh -m slow         the slow ones
#   bash tools/run_tests.sh tests/test_models -k queue
#   bash tools/run_tests.sh -n 8            in eight processes; 0: in one, for --pdb
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(bash "$root/tools/setup_env.sh")
cd "$root"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
exec "$python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" "$@"
