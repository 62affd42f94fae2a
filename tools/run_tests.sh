#!/usr/bin/env bash
# Installs vicmae_mm with what its tests need and runs them: bash tools/run_tests.sh [PYTEST_ARG...]
# Makes .venv unless an environment is active.
set -euo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"
prepare_env tests
cd "$repo"
ruff check .
mypy
exec python -m pytest "$@"
