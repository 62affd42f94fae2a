#!/usr/bin/env bash
# Installs vicmae_mm and runs the quickstart: bash tools/quickstart.sh [OPTION...]
# The options are those of tools/quickstart.py. Creates .venv unless an environment is active.
set -euo pipefail

source "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"
prepare_env quickstart
cd "$repo"
exec python tools/quickstart.py "$@"
