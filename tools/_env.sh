# Sourced by quickstart.sh, run_tests.sh and .ci/run: sets up a Python environment with vicmae_mm.
# shellcheck shell=bash

repo=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
tested=$repo/requirements/tested.txt

trap 'echo "Stopped by Ctrl-C." >&2; exit 130' INT
if [[ ${1:-} == @(-h|--help) ]]; then
  sed -n '2,/^[^#]/s/^# //p' "$0"  # the comment at the top of the script
  exit
fi

stop() {
  echo "error: $*" >&2
  exit 1
}

# python_at_least MINOR PYTHON: is it Python 3.MINOR to 3.13?
python_at_least() {
  "$2" -c "import sys; sys.exit(not (3, $1) <= sys.version_info < (3, 14))" 2>/dev/null
}

# Prints the Python for a new environment; the tested versions of packages need 3.11 or later.
find_python() {
  local minor name
  for minor in 11 10; do
    for name in python3 python3.13 python3.12 python3.11 python3.10; do
      if python_at_least "$minor" "$name"; then
        command -v "$name"
        return
      fi
    done
  done
  stop 'Python 3.10 to 3.13 is needed, and none is on the PATH' \
    "($(python3 --version 2>&1 || true))"
}

# make_venv FOLDER
make_venv() {
  local python
  python=$(find_python)
  echo "Creating a virtual environment with $("$python" --version) in $1" >&2
  "$python" -m venv --clear "$1" ||
    stop "$python cannot create virtual environments. On Debian and Ubuntu:" \
      'apt-get install python3-venv'
}

# prepare_env EXTRA: activates .venv of this checkout unless the user has an active environment,
# and installs vicmae_mm[EXTRA] into it unless that was done before and nothing changed since.
prepare_env() {
  local extra=$1
  if [[ -z ${VIRTUAL_ENV:-}${CONDA_PREFIX:-} ]]; then
    "$repo/.venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv "$repo/.venv"
    # Not by its bin/activate: before the fix of CVE-2024-9287, Python does not quote the path in
    # it, and a $ in the path would be expanded.
    export VIRTUAL_ENV=$repo/.venv PATH=$repo/.venv/bin:$PATH
    unset PYTHONHOME
  fi
  python_at_least 10 python ||
    stop "the active environment has $(python --version 2>&1); Python 3.10 to 3.13 is needed"

  local stamp want
  stamp=$(python -c 'import sys; print(sys.prefix)')/.vicmae_mm-$extra.stamp
  want=$(cat "$repo/setup.py" "$repo/pyproject.toml" "$tested" | cksum)
  if [[ $(cat "$stamp" 2>/dev/null) == "$want" ]] && is_installed; then
    return
  fi
  rm -f "$stamp"
  install_vicmae "$extra"
  echo "$want" >"$stamp"
}

# Does `import vicmae_mm` find this checkout from any folder?
is_installed() {
  (cd / && python - "$repo/vicmae_mm/__init__.py" <<'END') 2>/dev/null
import os, sys
from importlib.util import find_spec
sys.exit(not os.path.samefile(find_spec('vicmae_mm').origin, sys.argv[1]))
END
}

install_vicmae() {
  local extras=lite,$1 constraints=()
  # mmcv-lite would overwrite the files of a full mmcv: both install the package mmcv.
  if python -c "from importlib.metadata import version; version('mmcv')" 2>/dev/null; then
    extras=$1
  fi
  # In their own environment, users choose the versions.
  if [[ ${VIRTUAL_ENV:-} == "$repo/.venv" ]] && python_at_least 11 python; then
    constraints=(--constraint "$tested")
  fi
  echo "Installing vicmae_mm[$extras]; PyTorch alone downloads several GB" >&2
  (cd "$repo" && python -m pip install --disable-pip-version-check \
    "${constraints[@]}" --editable ".[$extras]") || stop 'pip could not install vicmae_mm: see above'
  python -c 'import cv2' || stop 'OpenCV does not load. If libGL.so.1 or libgthread is missing' \
    '(machines without a screen): apt-get install libgl1 libglib2.0-0'
}
