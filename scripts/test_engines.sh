#!/usr/bin/env bash
# Runs the tests of sandbox, hostile scripts, networks, recovery, images and their builds on a newer Docker Engine.
#   scripts/test_engines.sh [PYTEST ARGUMENT ...]    arguments replace the default list of tests
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

suites=(hostile test_canary.py test_contract.py test_custom_images.py test_dead_connection.py test_dockerfile_images.py
  test_endings.py test_image_builds.py test_image_pulls.py test_images.py test_network.py test_processes.py
  test_pull_errors.py test_reaper.py test_reattach.py test_recovery.py test_registry_rig.py test_resume.py
  test_runtime_api.py test_sandbox.py test_tampering.py test_version_retention.py)

if [ "${1:-}" = --inside ]; then
  shift
  .venv/bin/python -m tests.engine.copy_images
  [ $# -gt 0 ] || set -- "${suites[@]/#/tests/engine/}"
  exec .venv/bin/python -m pytest -p no:cacheprovider "$@" </dev/null
fi
scripts/venv.sh dev
scripts/engine.sh ensure
.venv/bin/python manage.py images build
exec scripts/newer_engine.sh scripts/test_engines.sh --inside "$@"
