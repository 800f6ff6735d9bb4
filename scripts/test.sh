#!/usr/bin/env bash
# Runs all tests. Installs and starts the services they need, and stops at the end those that this script started.
# With CRONIUM_TEST_LINT=yes it runs the static checks too, beside the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/parallel.sh

engine_pid=${CRONIUM_DATA_DIR:-data}/engine.pid
services_dir=${CRONIUM_TEST_SERVICES_DIR:-.test-services}
engine_before=$(cat "$engine_pid" 2>/dev/null || true)
services_before=$([ -d "$services_dir" ] && echo yes || true)

clean_up() {
  local status=$?
  trap - EXIT
  trap '' HUP INT TERM
  stop_tasks
  [ -n "$services_before" ] || scripts/services.sh stop || status=1
  # Does not stop an engine that `make up` started earlier.
  if [ "$(cat "$engine_pid" 2>/dev/null || true)" != "$engine_before" ]; then scripts/engine.sh stop || status=1; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Each suite is a separate pytest session: browser tests start a real server, and a failed suite does not stop the rest.
start_suite() {
  local suite=$1
  shift
  start_task "tests/$suite" .venv/bin/python -m pytest -o "cache_dir=.pytest_cache/$suite" --durations=20 "$@" "tests/$suite"
}

# Where this is set, each of the several hundred processes of the tests compiles all modules.
unset PYTHONDONTWRITEBYTECODE
scripts/venv.sh dev
exports=$(scripts/services.sh ensure)
eval "$exports"
export CRONIUM_TEST_SHARED_DIR=$tasks_dir # the suites share a migrated database
# Engine and browser tests mostly wait, unit tests compute: side by side they keep two cores busy. Each process of the
# engine and browser tests has its own servers, subnets and second engine, which follow from the number of the process.
start_suite unit -n 2 -m "not chaos"
if [ -n "${CRONIUM_TEST_LINT:-}" ]; then start_task lint scripts/lint.sh; fi
scripts/engine.sh ensure
.venv/bin/python manage.py images build
start_suite engine -n 3 --dist loadfile -m "not chaos"
wait_any tests/unit tests/engine
CRONIUM_TEST_FIRST_WORKER=4 start_suite browser -n 2 --dist loadfile --no-loadscope-reorder
wait_tasks tests/unit lint tests/engine tests/browser
# Chaos uses the whole machine.
start_suite chaos
wait_tasks tests/chaos

print_failures
if [ "${#failed_tasks[@]}" -gt 0 ]; then die "failed: ${failed_tasks[*]}"; fi
say "all tests passed in $SECONDS s"
