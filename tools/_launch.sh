# Sourced by dist_train.sh and dist_test.sh: runs a tool with --devices.
# shellcheck shell=bash

# launch SCRIPT N ARGS...
launch() {
  local script=$1 processes=$2
  shift 2
  local tools
  tools=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
  if ! python -c 'from importlib.util import find_spec; raise SystemExit(not find_spec("torch"))'
  then
    echo "error: 'python' has no torch: activate the environment that vicmae_mm is installed in" >&2
    exit 1
  fi
  export PYTHONPATH="$(dirname -- "$tools")${PYTHONPATH:+:$PYTHONPATH}"
  exec python "$tools/$script" "$@" --devices "$processes"
}
