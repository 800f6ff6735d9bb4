#!/usr/bin/env bash
# Starts the services that tests need beside an engine: Redis and PostgreSQL on loopback; installs a browser with fonts.
#   eval "$(scripts/services.sh ensure)"    prints only export lines on standard output
#   scripts/services.sh stop                stops Redis and PostgreSQL and removes their data
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

dir=${CRONIUM_TEST_SERVICES_DIR:-$PWD/.test-services}
export PATH=$PATH:/usr/sbin:/sbin

find_postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

find_browser() {
  local name
  for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name"; then return 0; fi
  done
  return 1
}

find_free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

install_missing() {
  local missing=()
  command -v redis-server >/dev/null || missing+=(redis-server)
  [ -n "$(find_postgres_bin)" ] || missing+=(postgresql)
  find_browser >/dev/null || missing+=(chromium-headless-shell) # the same engine without windows: less CPU time
  command -v node >/dev/null || missing+=(nodejs) # for tests of the node helper and of page scripts
  command -v busybox >/dev/null || missing+=(busybox) # the shell of Alpine images
  command -v skopeo >/dev/null || missing+=(skopeo) # a second opinion on what is in a registry
  # With systemd, installing these starts servers: left to the administrator; without them, their tests are skipped.
  [ -x /usr/sbin/sshd ] || has_systemd || missing+=(openssh-server)
  command -v docker-registry >/dev/null || has_systemd || missing+=(docker-registry)
  [ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf ] || missing+=(fonts-dejavu-core)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! is_root || ! is_debian_like; then
    die "the tests need ${missing[*]}: install them (Debian/Ubuntu: sudo apt-get install ${missing[*]}) and retry."
  fi
  say "installing ${missing[*]} for the tests ..."
  install_apt_packages "$dir/install.log" "${missing[@]}"
}

# PostgreSQL refuses to run as root.
run_as_postgres() {
  if is_root; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi
}

# The user postgres must be able to reach the folder. It cannot if the checkout is in a private home folder.
choose_postgres_dir() {
  local folder=$dir/postgres
  if [ -f "$dir/postgres.dir" ]; then cat "$dir/postgres.dir"; return; fi
  mkdir -p "$folder"
  if is_root; then
    chown postgres:postgres "$folder"
    if ! run_as_postgres test -w "$folder"; then
      folder=$(mktemp -d "${TMPDIR:-/tmp}/cronium-test-postgres.XXXXXX")
      chown postgres:postgres "$folder"
    fi
  fi
  printf '%s\n' "$folder" | tee "$dir/postgres.dir"
}

ensure_redis() {
  local pid port
  pid=$(cat "$dir/redis.pid" 2>/dev/null || true)
  if ! is_process "$pid" redis-server; then
    port=$(find_free_port)
    mkdir -p "$dir/redis"
    redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir/redis" --daemonize yes \
      --pidfile "$dir/redis.pid" --logfile "$dir/redis.log" >/dev/null </dev/null
    printf '%s\n' "$port" >"$dir/redis.port"
    local attempts=100
    until redis-cli -p "$port" ping >/dev/null 2>&1; do
      [ "$attempts" -gt 0 ] || die "Redis did not start; its log is $dir/redis.log"
      attempts=$((attempts - 1))
      sleep 0.05
    done
  fi
  printf 'export CRONIUM_TEST_REDIS_URL=redis://127.0.0.1:%s/0\n' "$(cat "$dir/redis.port")"
}

start_postgres() {
  local bin=$1 home=$2 port
  if [ ! -f "$home/data/PG_VERSION" ]; then
    (cd "$home" && run_as_postgres "$bin/initdb" -D "$home/data" -U cronium -A trust -E UTF8 --locale=C.UTF-8 \
      --no-sync) >"$dir/postgres-init.log" 2>&1 </dev/null || die "initdb failed; see $dir/postgres-init.log"
  fi
  port=$(find_free_port)
  # No fsync: the data is only for tests.
  (cd "$home" && run_as_postgres "$bin/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t 60 start -o \
    "-p $port -k '$home' -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off \
-c full_page_writes=off -c max_connections=200") >/dev/null 2>&1 </dev/null ||
    die "PostgreSQL did not start; its log is $home/server.log"
  run_as_postgres "$bin/createdb" -h 127.0.0.1 -p "$port" -U cronium cronium 2>/dev/null || true
  printf '%s\n' "$port" >"$dir/postgres.port"
}

ensure_postgres() {
  local bin home
  bin=$(find_postgres_bin)
  home=$(choose_postgres_dir)
  run_as_postgres "$bin/pg_ctl" -D "$home/data" status >/dev/null 2>&1 || start_postgres "$bin" "$home"
  printf 'export CRONIUM_TEST_DATABASE_URL=postgres://cronium@127.0.0.1:%s/cronium\n' "$(cat "$dir/postgres.port")"
}

ensure_services() {
  mkdir -p "$dir"
  install_missing
  ensure_redis
  ensure_postgres
  printf 'export CRONIUM_TEST_BROWSER=%q\n' "$(find_browser)"
}

stop_services() {
  [ -d "$dir" ] || return 0
  stop_process "$(cat "$dir/redis.pid" 2>/dev/null || true)" redis-server 10
  local home
  home=$(cat "$dir/postgres.dir" 2>/dev/null || true)
  if [ -n "$home" ] && [ -d "$home/data" ]; then
    run_as_postgres "$(find_postgres_bin)/pg_ctl" -D "$home/data" -m immediate -w stop >/dev/null 2>&1 || true
  fi
  [ -z "$home" ] || rm -rf "$home"
  rm -rf "$dir"
}

case ${1:-} in
  ensure) ensure_services ;;
  stop) stop_services ;;
  *) die "usage: scripts/services.sh ensure|stop" ;;
esac
