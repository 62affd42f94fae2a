#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash tools/dist_train.sh CONFIG N [OPTION...]

Trains with N processes, one per GPU; without a GPU, N processes on the CPU.
It is vicmae train CONFIG --devices N [OPTION...], whose options are --resume, --work-dir DIR,
--cfg-options KEY=VALUE, ...

Several machines: run it on each, with NNODES (number of machines), NODE_RANK (0, 1, ...),
MASTER_ADDR (address of the first) and, if 29500 is in use, PORT in the environment. N is per
machine.

Example: bash tools/dist_train.sh configs/vicmae_vit-b16_k400.py 8 --resume
END
}

[[ ${1:-} != @(-h|--help) ]] || { usage; exit; }
(($# >= 2)) && [[ $1 != -* ]] || { usage >&2; exit 2; }
source "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
launch train.py "$2" "$1" "${@:3}"
