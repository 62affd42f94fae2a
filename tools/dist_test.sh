#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash tools/dist_test.sh CONFIG CHECKPOINT N [OPTION...]

Tests with N processes, one per GPU; without a GPU, N processes on the CPU.
It is vicmae test CONFIG CHECKPOINT --devices N [OPTION...], whose options are
--out predictions.pkl, --cfg-options KEY=VALUE, ...
For several machines see tools/dist_train.sh.
END
}

[[ ${1:-} != @(-h|--help) ]] || { usage; exit; }
(($# >= 3)) && [[ $1 != -* ]] || { usage >&2; exit 2; }
source "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
launch test.py "$3" "$1" "$2" "${@:4}"
