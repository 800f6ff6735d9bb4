#!/usr/bin/env bash
# All tests. What they need is installed and started first, and what was started here is stopped at the end.
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
  # An engine that `make up` had started earlier is somebody's.
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

# Sessions of their own: a browser test starts a real server, and one that fails must not hide the others' result.
failed=()
for part in unit engine browser chaos; do
  say "tests/$part"
  # Unit tests wait more than they work, and share nothing. Engine and browser tests run two files at a time, each
  # process with its own servers, subnets and further engine; chaos fills the machine alone.
  side_by_side=()
  case $part in
    unit) side_by_side=(-n 3) ;;
    engine | browser) side_by_side=(-n 2 --dist loadfile) ;;
  esac
  .venv/bin/python -m pytest "${side_by_side[@]}" "tests/$part" </dev/null || failed+=("tests/$part")
done
if [ "${#failed[@]}" -gt 0 ]; then die "failed: ${failed[*]}"; fi
say "all tests passed"
