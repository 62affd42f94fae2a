#!/usr/bin/env bash
# Installs vicmae_mm and runs its tests: bash tools/run_tests.sh [PYTEST_ARG...]
# Creates .venv unless an environment is active.
set -euo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"
prepare_env tests
cd "$repo"
# With -m: in the scripts that pip installs, a $ in the environment's path would be expanded.
python -m ruff check .
python -m mypy
# One process per core halves the time on two cores; more threads would only compete for them.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest --numprocesses auto --maxprocesses 4 "$@"
