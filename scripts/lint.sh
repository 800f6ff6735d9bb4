#!/usr/bin/env bash
# Runs all static checks. A failed check does not stop the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/venv.sh dev
bin=$PWD/.venv/bin
failed=()

run_check() {
  local name=$1
  shift
  if ! "$@" </dev/null; then failed+=("$name"); fi
}

run_check "ruff check" "$bin/ruff" check .
run_check "ruff format" "$bin/ruff" format --check .
run_check "mypy" "$bin/mypy"
# The sidecar is a separate program with its own import root.
run_check "mypy (sidecar)" env MYPYPATH=images/runtime-api "$bin/mypy" --config-file= --strict -p sidecar
run_check "mypy (helper)" "$bin/mypy" --config-file= --strict images/python/cronium.py images/python/cronium_aio.py
run_check "import-linter" "$bin/lint-imports"
run_check "bundles" scripts/bundles.sh
run_check "makemigrations --check" "$bin/python" manage.py makemigrations --check --dry-run
run_check "pythons compile" scripts/pythons.sh compile
for script in scripts/*.sh images/bash/cronium.sh .ci/run; do run_check "bash -n $script" bash -n "$script"; done
for script in images/base/*.sh; do run_check "sh -n $script" sh -n "$script"; done

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'cronium: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
say "all checks passed"
