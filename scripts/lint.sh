#!/usr/bin/env bash
# All static checks. Every one runs, so that one round shows everything.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/venv.sh dev
bin=$PWD/.venv/bin
failed=()

check() {
  local name=$1
  shift
  if ! "$@" </dev/null; then failed+=("$name"); fi
}

check "ruff check" "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check "mypy" "$bin/mypy"
# The sidecar is a program of its own, with its own root for imports.
check "mypy (sidecar)" env MYPYPATH=images/runtime-api "$bin/mypy" --config-file= --strict -p sidecar
check "mypy (helper)" "$bin/mypy" --config-file= --strict images/python/cronium.py images/python/cronium_aio.py
check "import-linter" "$bin/lint-imports"
check "bundles" scripts/bundles.sh
check "makemigrations --check" "$bin/python" manage.py makemigrations --check --dry-run
check "pythons compile" scripts/pythons.sh compile
for script in scripts/*.sh images/bash/cronium.sh .ci/run; do check "bash -n $script" bash -n "$script"; done
for script in images/base/*.sh; do check "sh -n $script" sh -n "$script"; done

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'cronium: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
say "all checks passed"
