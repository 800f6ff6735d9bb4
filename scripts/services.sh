#!/usr/bin/env bash
# What the tests need beside an engine: Redis and PostgreSQL of their own on loopback, and a browser with fonts.
#   eval "$(scripts/services.sh ensure)"    prints export lines and nothing else on standard output
#   scripts/services.sh stop                stops them and removes their data
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

dir=${CRONIUM_TEST_SERVICES_DIR:-$PWD/.test-services}
export PATH=$PATH:/usr/sbin:/sbin

postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name"; then return 0; fi
  done
  return 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

install_missing() {
  local missing=()
  command -v redis-server >/dev/null || missing+=(redis-server)
  [ -n "$(postgres_bin)" ] || missing+=(postgresql)
  browser >/dev/null || missing+=(chromium)
  command -v node >/dev/null || missing+=(nodejs) # the tests of the node helper and of the pages' modules
  command -v busybox >/dev/null || missing+=(busybox) # the shell of Alpine images
  # Its installation starts a server where systemd rules, so there it is its owner's to install, or its tests are skipped.
  [ -x /usr/sbin/sshd ] || has_systemd || missing+=(openssh-server)
  [ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf ] || missing+=(fonts-dejavu-core)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! is_root || ! is_debian_like; then
    die "the tests need ${missing[*]}: install them (Debian/Ubuntu: sudo apt-get install ${missing[*]}) and retry."
  fi
  say "installing ${missing[*]} for the tests ..."
  apt_install "$dir/install.log" "${missing[@]}"
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if is_root; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi
}

# Its folder must be reachable by that user; a checkout in a closed home folder is not.
choose_postgres_dir() {
  local chosen=$dir/postgres
  if [ -f "$dir/postgres.dir" ]; then cat "$dir/postgres.dir"; return; fi
  mkdir -p "$chosen"
  if is_root; then
    chown postgres:postgres "$chosen"
    if ! as_postgres test -w "$chosen"; then
      chosen=$(mktemp -d "${TMPDIR:-/tmp}/cronium-test-postgres.XXXXXX")
      chown postgres:postgres "$chosen"
    fi
  fi
  printf '%s\n' "$chosen" | tee "$dir/postgres.dir"
}

ensure_redis() {
  local pid port
  pid=$(cat "$dir/redis.pid" 2>/dev/null || true)
  if ! process_is "$pid" redis-server; then
    port=$(free_port)
    mkdir -p "$dir/redis"
    redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir/redis" --daemonize yes \
      --pidfile "$dir/redis.pid" --logfile "$dir/redis.log" >/dev/null </dev/null
    printf '%s\n' "$port" >"$dir/redis.port"
    local left=100
    until redis-cli -p "$port" ping >/dev/null 2>&1; do
      [ "$left" -gt 0 ] || die "Redis did not start; its log is $dir/redis.log"
      left=$((left - 1))
      sleep 0.05
    done
  fi
  printf 'export CRONIUM_TEST_REDIS_URL=redis://127.0.0.1:%s/0\n' "$(cat "$dir/redis.port")"
}

start_postgres() {
  local bin=$1 home=$2 port
  if [ ! -f "$home/data/PG_VERSION" ]; then
    (cd "$home" && as_postgres "$bin/initdb" -D "$home/data" -U cronium -A trust -E UTF8 --locale=C.UTF-8 \
      --no-sync) >"$dir/postgres-init.log" 2>&1 </dev/null || die "initdb failed; see $dir/postgres-init.log"
  fi
  port=$(free_port)
  # Speed over safety: this data lives for one run of the tests.
  (cd "$home" && as_postgres "$bin/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t 60 start -o \
    "-p $port -k '$home' -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off \
-c full_page_writes=off -c max_connections=200") >/dev/null 2>&1 </dev/null ||
    die "PostgreSQL did not start; its log is $home/server.log"
  as_postgres "$bin/createdb" -h 127.0.0.1 -p "$port" -U cronium cronium 2>/dev/null || true
  printf '%s\n' "$port" >"$dir/postgres.port"
}

ensure_postgres() {
  local bin home
  bin=$(postgres_bin)
  home=$(choose_postgres_dir)
  as_postgres "$bin/pg_ctl" -D "$home/data" status >/dev/null 2>&1 || start_postgres "$bin" "$home"
  printf 'export CRONIUM_TEST_DATABASE_URL=postgres://cronium@127.0.0.1:%s/cronium\n' "$(cat "$dir/postgres.port")"
}

ensure() {
  mkdir -p "$dir"
  install_missing
  ensure_redis
  ensure_postgres
  printf 'export CRONIUM_TEST_BROWSER=%q\n' "$(browser)"
}

stop() {
  [ -d "$dir" ] || return 0
  stop_process "$(cat "$dir/redis.pid" 2>/dev/null || true)" redis-server 10
  local home
  home=$(cat "$dir/postgres.dir" 2>/dev/null || true)
  if [ -n "$home" ] && [ -d "$home/data" ]; then
    as_postgres "$(postgres_bin)/pg_ctl" -D "$home/data" -m immediate -w stop >/dev/null 2>&1 || true
  fi
  [ -z "$home" ] || rm -rf "$home"
  rm -rf "$dir"
}

case ${1:-} in
  ensure) ensure ;;
  stop) stop ;;
  *) die "usage: scripts/services.sh ensure|stop" ;;
esac
