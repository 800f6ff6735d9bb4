#!/usr/bin/env bash
# Runs all static checks, side by side. A failed check does not stop the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/parallel.sh
trap stop_tasks EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/venv.sh dev
bin=$PWD/.venv/bin
checks=()

start_check() {
  checks+=("$1")
  start_task "$@"
}

check_shell_syntax() {
  local script status=0
  for script in scripts/*.sh images/bash/cronium.sh .ci/run; do bash -n "$script" || status=1; done
  for script in images/base/*.sh; do sh -n "$script" || status=1; done
  return "$status"
}

# The sidecar is a separate program with its own import root. Each run of mypy has other options and its own cache.
start_check "mypy" "$bin/mypy"
start_check "mypy (sidecar)" env MYPYPATH=images/runtime-api "$bin/mypy" --cache-dir .mypy_cache/sidecar --config-file= \
  --strict -p sidecar
start_check "mypy (helper)" "$bin/mypy" --cache-dir .mypy_cache/helper --config-file= --strict \
  images/python/cronium.py images/python/cronium_aio.py
start_check "bundles" scripts/bundles.sh
start_check "import-linter" "$bin/lint-imports"
start_check "makemigrations --check" "$bin/python" manage.py makemigrations --check --dry-run
start_check "pythons compile" scripts/pythons.sh compile
start_check "ruff check" "$bin/ruff" check .
start_check "ruff format" "$bin/ruff" format --check .
start_check "shell syntax" check_shell_syntax
start_check "names and words" "$bin/python" scripts/check_words.py
start_check "dockerfiles" "$bin/hadolint" Dockerfile images/*/Dockerfile
start_check "workflows: schema" "$bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
start_check "dependabot: schema" "$bin/check-jsonschema" --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
start_check "workflows: zizmor" "$bin/zizmor" --quiet --offline --no-progress .github
start_check "visibility of rows" "$bin/python" scripts/check_visibility.py
wait_tasks "${checks[@]}"

if [ "${#failed_tasks[@]}" -gt 0 ]; then
  printf 'cronium: failed: %s\n' "${failed_tasks[@]}" >&2
  exit 1
fi
say "all checks passed"
