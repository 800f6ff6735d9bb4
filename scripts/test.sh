#!/usr/bin/env bash
# Runs all tests. Installs and starts the services they need, and stops at the end those that this script started.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

engine_pid=${CRONIUM_DATA_DIR:-data}/engine.pid
services_dir=${CRONIUM_TEST_SERVICES_DIR:-.test-services}
engine_before=$(cat "$engine_pid" 2>/dev/null || true)
services_before=$([ -d "$services_dir" ] && echo yes || true)

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  [ -n "$services_before" ] || scripts/services.sh stop || status=1
  # Does not stop an engine that `make up` started earlier.
  if [ "$(cat "$engine_pid" 2>/dev/null || true)" != "$engine_before" ]; then scripts/engine.sh stop || status=1; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/venv.sh dev
scripts/engine.sh ensure
exports=$(scripts/services.sh ensure)
eval "$exports"
.venv/bin/python manage.py images build

# Each suite is a separate pytest session: browser tests start a real server, and a failed suite does not stop the rest.
failed=()
for part in unit engine browser chaos; do
  say "tests/$part"
  # Unit tests are independent and mostly wait. Engine and browser tests run two files at a time; each process has its
  # own servers, subnets and second engine. Chaos uses the whole machine.
  parallel=()
  case $part in
    unit) parallel=(-n 3) ;;
    engine | browser) parallel=(-n 2 --dist loadfile) ;;
  esac
  .venv/bin/python -m pytest "${parallel[@]}" "tests/$part" </dev/null || failed+=("tests/$part")
done
if [ "${#failed[@]}" -gt 0 ]; then die "failed: ${failed[*]}"; fi
say "all tests passed"
