#!/usr/bin/env bash
# Installs vicmae_mm with what its tests need and runs them: bash tools/run_tests.sh [PYTEST_ARG...]
# Makes .venv unless an environment is active.
set -euo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"
prepare_env tests
cd "$repo"
# By -m: a script that pip makes takes a $ in the path of its environment for a variable.
python -m ruff check .
python -m mypy
# A process a core: half the time on two cores. More threads in each would only wait for them.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest --numprocesses auto --maxprocesses 4 "$@"
