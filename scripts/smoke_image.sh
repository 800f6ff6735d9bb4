#!/usr/bin/env bash
# Runs an image of Cronium once as users run it: read-only, without capabilities or network, as its own user.
#   scripts/smoke_image.sh NAME REFERENCE    NAME is cronium, bash, python, node, runtime-api or linter
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

usage='usage: scripts/smoke_image.sh NAME REFERENCE'
name=${1:?$usage}
reference=${2:?$usage}

run() {
  docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --network none --memory 512m \
    --pids-limit 100 "$@"
}

# run_runner COMMAND...: as the sandbox runs a job.
run_runner() { run --user 1000:1000 --tmpfs /workspace:uid=1000,gid=1000 --entrypoint "$1" "$reference" "${@:2}"; }

check_setuid() {
  local files
  files=$(run --user 0:0 --entrypoint /bin/sh "$reference" -c \
    'find / -xdev \( -perm -4000 -o -perm -2000 \) \( -type f -o -type d \)')
  [ -z "$files" ] || die "$reference has setuid or setgid files: $files"
}

# The web process needs PostgreSQL and Redis; its image is good if the database can be made and the files are there.
check_cronium() {
  run --tmpfs /data:uid=10001,gid=10001,mode=0700 --tmpfs /tmp --entrypoint /bin/sh "$reference" -ec '
    [ "$(id -u)" = 10001 ]
    python manage.py check
    python manage.py migrate --no-input --verbosity 0
    CRONIUM_ADMIN_PASSWORD=for-the-smoke-run python manage.py bootstrap
    [ -n "$(ls "$CRONIUM_STATIC_DIR")" ]
    if touch /opt/cronium/probe 2>/dev/null; then echo "the code is writable" >&2; exit 1; fi'
}

case $name in
  cronium) check_cronium ;;
  bash)
    run_runner bash -ec '. /usr/local/bin/cronium.sh; type -t cronium_input cronium_output; curl --version; jq --version'
    check_setuid
    ;;
  python)
    run_runner python -c 'import cronium, requests, ssl, sqlite3; cronium.input; print(requests.__version__)'
    check_setuid
    ;;
  node)
    run_runner node -e 'if (typeof require("cronium").input !== "function") process.exit(1)'
    check_setuid
    ;;
  runtime-api)
    run_runner python3 -I -S -B /usr/local/lib/cronium/boot.py --check
    check_setuid
    ;;
  linter)
    run_runner bash -ec 'ruff --version; shellcheck --version; shfmt --version; node --version'
    check_setuid
    ;;
  *) die "no image is called $name: cronium, bash, python, node, runtime-api or linter" ;;
esac
say "$reference works"
