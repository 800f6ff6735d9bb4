# Shared by the scripts in this folder: messages, and packages of Debian and Ubuntu. Source it; it runs nothing.

say() { printf '%s\n' "cronium: $*" >&2; }

die() {
  printf '%s\n' "cronium: $*" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

has_systemd() { [ -d /run/systemd/system ]; }

# True on Debian, Ubuntu and their children, where packages have the names used here.
is_debian_like() {
  command -v apt-get >/dev/null && [ -r /etc/os-release ] &&
    (. /etc/os-release && case " $ID ${ID_LIKE:-} " in *" debian "* | *" ubuntu "*) exit 0 ;; *) exit 1 ;; esac)
}

# The services of freshly installed packages must not start by themselves: a script starts what it needs, and
# only then does it know what is its own to stop. systemd machines are left alone, their owner manages services.
hold_services() {
  held_policy=""
  if ! has_systemd && [ ! -e /usr/sbin/policy-rc.d ]; then
    held_policy=/usr/sbin/policy-rc.d
    trap release_services EXIT # also when it is interrupted
    printf '#!/bin/sh\nexit 101\n' >"$held_policy"
    chmod 755 "$held_policy"
  fi
}

release_services() {
  if [ -n "${held_policy:-}" ]; then
    rm -f "$held_policy"
    held_policy=""
    trap - EXIT
  fi
}

# apt_install LOG PACKAGE...: the output goes to LOG and is shown only when it fails.
apt_install() {
  local log=$1 status=0
  shift
  mkdir -p -m 700 "$(dirname "$log")"
  hold_services
  (
    umask 022 # what is installed is for all users
    DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  ) >"$log" 2>&1 </dev/null || status=$?
  release_services
  if [ "$status" -ne 0 ]; then
    tail -n 15 "$log" >&2
    die "apt-get could not install $*; the whole output is in $log"
  fi
}

# process_is PID NAME: PID lives and is NAME, so that a stale pid file never ends a stranger.
process_is() {
  [ -n "$1" ] && [ -r "/proc/$1/comm" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]
}

# stop_process PID NAME SECONDS: TERM, wait until it is gone, and say so when it stays.
stop_process() {
  process_is "$1" "$2" || return 0
  kill -TERM "$1" 2>/dev/null || return 0
  local left=$(($3 * 10))
  while process_is "$1" "$2"; do
    [ "$left" -gt 0 ] || die "$2 (process $1) did not stop within $3 s"
    left=$((left - 1))
    sleep 0.1
  done
}
