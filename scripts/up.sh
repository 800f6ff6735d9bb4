#!/usr/bin/env bash
# Sets up a fresh checkout and serves the dashboard in the foreground. A second call takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/venv.sh
scripts/engine.sh ensure
.venv/bin/python manage.py migrate --no-input --verbosity 0
.venv/bin/python manage.py images build
.venv/bin/python manage.py bootstrap
exec .venv/bin/python manage.py serve
