#!/usr/bin/env bash
# Finds a running Docker Engine. As root on Debian or Ubuntu, installs and starts an engine if there is none.
#   scripts/engine.sh ensure    exit 0: an engine answers; exit 1: the message says what to install
#   scripts/engine.sh stop      stops the engine only if `ensure` started it
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

data=${CRONIUM_DATA_DIR:-data}
pid_file=$data/engine.pid
log_file=$data/engine.log
socket=unix:///var/run/docker.sock

ping_engine() { python3 scripts/engine_ping.py "$1"; }

# Prints the configured address, or nothing.
print_configured_address() { printf '%s' "${CRONIUM_DOCKER_HOST:-${DOCKER_HOST:-}}"; }

wait_for_engine() {
  local pid=$1 attempts=$2
  until ping_engine "$socket"; do
    [ "$attempts" -gt 0 ] || return 1
    if [ -n "$pid" ] && [ ! -d "/proc/$pid" ]; then return 1; fi
    attempts=$((attempts - 1))
    sleep 0.25
  done
}

install_engine() {
  say "this machine has no Docker Engine: installing docker.io, iptables and iproute2 (1 to 2 minutes) ..."
  install_apt_packages "$data/engine-install.log" docker.io iptables iproute2
}

# After a reboot, another process may have the pid in docker.pid; dockerd then refuses to start.
remove_stale_pid_file() {
  local pid
  pid=$(cat /var/run/docker.pid 2>/dev/null || true)
  if [ -n "$pid" ] && ! is_process "$pid" dockerd; then rm -f /var/run/docker.pid; fi
}

start_engine() {
  if has_systemd; then
    say "starting the Docker Engine (systemctl start docker) ..."
    systemctl start docker >/dev/null 2>&1 || true
    wait_for_engine "" 120 || die "the Docker Engine does not answer; see: journalctl -u docker"
    return
  fi
  say "starting the Docker Engine (its log: $log_file) ..."
  remove_stale_pid_file
  (umask 022; exec setsid dockerd) </dev/null >>"$log_file" 2>&1 9>&- &
  local pid=$!
  disown "$pid" 2>/dev/null || true
  printf '%s\n' "$pid" >"$pid_file"
  if ! wait_for_engine "$pid" 240; then
    tail -n 5 "$log_file" >&2
    die "the Docker Engine did not start; its log is $log_file"
  fi
  say "the Docker Engine is running (process $pid); to stop it: scripts/engine.sh stop"
}

ensure_engine() {
  local address status=0
  address=$(print_configured_address)
  ping_engine "${address:-$socket}" || status=$?
  [ "$status" -ne 0 ] || return 0
  if [ "$status" -eq 2 ]; then
    die "the Docker Engine at ${address:-$socket} refuses user $(id -un): add it to the group docker" \
      "(sudo usermod -aG docker $(id -un)), sign in again and retry."
  fi
  if [ -n "$address" ] && [ "$address" != "$socket" ]; then
    die "no Docker Engine answers at $address: start it, or unset CRONIUM_DOCKER_HOST and DOCKER_HOST."
  fi
  if ! is_root || ! is_debian_like; then
    die "Cronium needs a Docker Engine, and no engine answers at $socket: install Docker" \
      "(Debian/Ubuntu: sudo apt-get install docker.io; others: https://docs.docker.com/engine/install/), start it and retry."
  fi
  umask 077 # only the owner may read the data folder
  mkdir -p "$data"
  exec 9>"$data/engine.lock"
  flock 9
  if ping_engine "$socket"; then return 0; fi
  command -v dockerd >/dev/null || install_engine
  ping_engine "$socket" || start_engine
}

stop_engine() {
  [ -f "$pid_file" ] || return 0
  local pid
  pid=$(cat "$pid_file")
  if is_process "$pid" dockerd; then
    say "stopping the Docker Engine that this script started (process $pid) ..."
    stop_process "$pid" dockerd 60
  fi
  rm -f "$pid_file"
}

command -v python3 >/dev/null || die "python3 is missing: install Python 3.11 or newer."
case ${1:-} in
  ensure) ensure_engine ;;
  stop) stop_engine ;;
  *) die "usage: scripts/engine.sh ensure|stop" ;;
esac
