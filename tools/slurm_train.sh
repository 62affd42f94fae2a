#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [OPTION...]

Trains on a Slurm cluster. The options are those of tools/train.py. Environment variables:
  GPUS (8)           processes on all machines, one per GPU
  GPUS_PER_NODE (8)  maximum on one machine
  CPUS_PER_TASK (5)  cores per process
  SRUN_ARGS          more options for srun, separated by spaces
  MASTER_PORT        port for communication; random by default

Example: GPUS=16 bash tools/slurm_train.sh gpu vicmae configs/vicmae_vit-b16_k400.py --resume
END
}

[[ ${1:-} != @(-h|--help) ]] || { usage; exit; }
(($# >= 3)) && [[ $1 != -* ]] || { usage >&2; exit 2; }

tools=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# Before the job waits in the queue; which of them it is, train.py says.
name=${3#configs/}
[[ -f $3 || -n $(find "$tools/../configs" -path "*/configs/${name%.py}.py" -o \
  -path "*/configs/*/${name%.py}.py" 2>/dev/null) ]] ||
  { echo "error: $3 does not exist, and no shipped config has this name" >&2; exit 1; }
command -v srun >/dev/null || { echo 'error: srun was not found: is this a Slurm cluster?' >&2; exit 1; }

gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
for count in "$gpus" "$per_node"; do
  [[ $count =~ ^[1-9][0-9]*$ ]] ||
    { echo "error: GPUS and GPUS_PER_NODE must be positive integers, not '$count'" >&2; exit 1; }
done
((per_node <= gpus)) || per_node=$gpus
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}
printf -v VICMAE_COMMAND '%q ' bash "$0" "$1" "$2" CONFIG  # said where a run ends
export VICMAE_COMMAND
export PYTHONPATH="$(dirname -- "$tools")${PYTHONPATH:+:$PYTHONPATH}"
# Split at spaces; an unquoted variable would also expand * and ?.
read -ra srun_args <<<"${SRUN_ARGS:-}"

exec srun --partition "$1" --job-name "$2" --gres "gpu:$per_node" --ntasks "$gpus" \
  --ntasks-per-node "$per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
  "${srun_args[@]}" python -u "$tools/train.py" "${@:3}" --launcher slurm
