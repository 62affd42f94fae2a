# Sourced by dist_train.sh and dist_test.sh: checks the arguments, then starts torchrun.
# shellcheck shell=bash

trap 'echo "Stopped by Ctrl-C." >&2; exit 130' INT
fail() {
  echo "error: $*" >&2
  exit 1
}

# launch SCRIPT N FILES ARGS...
# Starts N processes of tools/SCRIPT on this machine; the first FILES of ARGS must exist.
launch() {
  local script=$1 processes=$2 files=$3
  shift 3
  local tools file
  tools=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

  [[ $processes =~ ^[1-9][0-9]*$ ]] ||
    fail "the number of processes must be a positive integer, not '$processes'"
  for file in "${@:1:files}"; do
    [[ -f $file || $file == *://* ]] || fail "$file does not exist"
  done

  local gpus
  gpus=$(python -c 'import signal; signal.signal(2, signal.SIG_DFL)
import torch; print(torch.cuda.device_count())') ||
    fail "'python' has no torch: activate the environment that vicmae_mm is installed in"
  if ((gpus == 0)); then
    echo "No GPU: running $processes processes on the CPU, connected by gloo." >&2
  elif ((processes > gpus)); then
    fail "$processes processes were requested, but there are $gpus GPUs. To run on the CPU" \
      "instead, set CUDA_VISIBLE_DEVICES= (empty)"
  fi

  # The processes share the cores: by default, each of them would start one thread per core.
  local cores
  cores=$(python -c 'import os; print(len(os.sched_getaffinity(0)))' 2>/dev/null || echo 1)
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}
  export PYTHONPATH="$(dirname -- "$tools")${PYTHONPATH:+:$PYTHONPATH}"

  printf -v VICMAE_COMMAND '%q ' bash "$0" CONFIG "$processes"  # said where a run ends
  export VICMAE_COMMAND

  # On one machine, torchrun finds a free port. Several machines need a fixed address to meet at.
  local where=(--standalone)
  if [[ -n ${PORT:-} || ${NNODES:-1} != 1 ]]; then
    [[ ${NNODES:-1} == 1 || -n ${MASTER_ADDR:-} ]] ||
      fail "NNODES=$NNODES needs MASTER_ADDR, the address of the machine with NODE_RANK=0"
    where=(--nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}"
      --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}")
  fi
  exec python "$tools/_torchrun.py" "${where[@]}" --nproc-per-node "$processes" \
    "$tools/$script" "$@" --launcher pytorch
}
