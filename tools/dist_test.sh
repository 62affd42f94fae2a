#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat >&2 <<'END'
Usage: bash tools/dist_test.sh CONFIG CHECKPOINT N [OPTION...]

Tests with N processes, one per GPU; without a GPU, N processes on the CPU.
The options are those of tools/test.py, e.g. --out predictions.pkl, --cfg-options KEY=VALUE.
For several machines see tools/dist_train.sh.
END
  exit 2
}

(($# >= 3)) && [[ $1 != -* ]] || usage
source "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
launch test.py "$3" 2 "$1" "$2" "${@:4}"
