#!/usr/bin/env bash
# Runs the unit tests on every other supported Python that is installed, each in its own virtual environment.
#   scripts/pythons.sh            searches python3.N on PATH and in pyenv; prints the missing versions
#   scripts/pythons.sh compile    only compiles all files with each Python: takes seconds, installs no packages
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

supported=(3.11 3.12 3.13)
folder=${CRONIUM_TEST_PYTHONS_DIR:-.test-pythons}
action=${1:-test}
scripts/venv.sh dev
current=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

find_python() {
  local candidate
  for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

compile_on() {
  git ls-files -z '*.py' | "$2" -W error -c 'import pathlib, sys
for name in sys.stdin.read().split("\0")[:-1]:
    compile(pathlib.Path(name).read_bytes(), name, "exec")'
}

test_on() {
  local version=$1 venv=$folder/$1
  if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$(cat requirements.txt requirements-dev.txt | sha256sum)" ]; then
    say "Python $version: installing the packages ..."
    "$2" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r requirements-dev.txt </dev/null
    cat requirements.txt requirements-dev.txt | sha256sum >"$venv/stamp"
  fi
  say "Python $version: tests/unit"
  "$venv/bin/python" -m pytest -q -n 2 -m "not chaos" -p no:cacheprovider tests/unit </dev/null
}

failed=() missing=()
for version in "${supported[@]}"; do
  if [ "$version" = "$current" ]; then continue; fi
  if ! python=$(find_python "$version"); then
    missing+=("$version")
    continue
  fi
  "${action}_on" "$version" "$python" || failed+=("$version")
done
if [ "${#missing[@]}" -gt 0 ]; then say "skipped, not installed: Python ${missing[*]}"; fi
if [ "${#failed[@]}" -gt 0 ]; then die "$action: fails on Python ${failed[*]}"; fi
say "$action: passes on every supported Python that is installed"
