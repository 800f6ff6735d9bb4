#!/usr/bin/env bash
# Creates .venv with the pinned packages; does nothing if .venv is up to date.
#   scripts/venv.sh         the packages that Cronium needs
#   scripts/venv.sh dev     also the packages for tests and checks
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

kind=${1:-run}
venv=.venv

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && is_new_enough "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

can_create_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

install_python() {
  if ! is_root || ! is_debian_like; then
    die "Python 3.11 or newer with its venv module is missing: install it" \
      "(Debian/Ubuntu: sudo apt-get install python3 python3-venv) and retry."
  fi
  say "installing python3 and python3-venv ..."
  install_apt_packages "${CRONIUM_DATA_DIR:-data}/python-install.log" python3 python3-venv
}

# compute_stamp FILE...: prints a digest of the interpreter and the files; a changed digest triggers a new installation.
compute_stamp() { { "$venv/bin/python" -VV; cat "$@"; } | sha256sum | cut -d' ' -f1; }

is_up_to_date() { [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$(compute_stamp "${@:2}")" ]; }

create_venv() {
  local python
  python=$(find_python) || python=""
  if [ -z "$python" ] || ! can_create_venv "$python"; then
    install_python
    python=$(find_python) || die "the python3 of this system is older than 3.11: install a newer one and retry."
    can_create_venv "$python" || die "$python lacks the venv module: install its venv package and retry."
  fi
  say "creating $venv with $("$python" -V) ..."
  "$python" -m venv --clear "$venv"
}

install_requirements() {
  say "installing the packages of $1 (about a minute the first time) ..."
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$1" </dev/null ||
    die "pip could not install $1; see above."
}

if ! is_new_enough "$venv/bin/python"; then create_venv; fi
if [ "$kind" = dev ]; then
  is_up_to_date dev requirements.txt requirements-dev.txt || {
    install_requirements requirements-dev.txt
    compute_stamp requirements.txt >"$venv/run.stamp"
    compute_stamp requirements.txt requirements-dev.txt >"$venv/dev.stamp"
  }
else
  is_up_to_date run requirements.txt || {
    install_requirements requirements.txt
    compute_stamp requirements.txt >"$venv/run.stamp"
  }
fi
