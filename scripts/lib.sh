# Functions shared by the scripts in this folder. Source this file; sourcing runs no command.

say() { printf '%s\n' "cronium: $*" >&2; }

die() {
  printf '%s\n' "cronium: $*" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

has_systemd() { [ -d /run/systemd/system ]; }

# True on Debian, Ubuntu and derivatives: the package names used here exist there.
is_debian_like() {
  command -v apt-get >/dev/null && [ -r /etc/os-release ] &&
    (. /etc/os-release && case " $ID ${ID_LIKE:-} " in *" debian "* | *" ubuntu "*) exit 0 ;; *) exit 1 ;; esac)
}

# Keeps apt from starting the services that it installs: the scripts start services themselves, so that they know
# which ones to stop. Does nothing on a machine with systemd, whose administrator manages services.
block_service_starts() {
  policy_file=""
  if ! has_systemd && [ ! -e /usr/sbin/policy-rc.d ]; then
    policy_file=/usr/sbin/policy-rc.d
    trap allow_service_starts EXIT # also on an interrupt
    printf '#!/bin/sh\nexit 101\n' >"$policy_file"
    chmod 755 "$policy_file"
  fi
}

allow_service_starts() {
  if [ -n "${policy_file:-}" ]; then
    rm -f "$policy_file"
    policy_file=""
    trap - EXIT
  fi
}

# install_apt_packages LOG PACKAGE...: apt's output goes to LOG; its last lines are printed on a failure.
install_apt_packages() {
  local log=$1 status=0
  shift
  mkdir -p -m 700 "$(dirname "$log")"
  exec 8>/run/lock/cronium-apt.lock
  flock 8 # scripts that run side by side install one after the other
  block_service_starts
  (
    umask 022 # all users may read the installed files
    DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  ) >"$log" 2>&1 </dev/null 8>&- || status=$?
  allow_service_starts
  exec 8>&-
  if [ "$status" -ne 0 ]; then
    tail -n 15 "$log" >&2
    die "apt-get could not install $*; the full output is in $log"
  fi
}

# is_process PID NAME: PID is a running process called NAME. Prevents a signal to the wrong process after a stale pid file.
is_process() {
  [ -n "$1" ] && [ -r "/proc/$1/comm" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]
}

# stop_process PID NAME SECONDS: sends TERM and waits until the process has ended; fails after SECONDS.
stop_process() {
  is_process "$1" "$2" || return 0
  kill -TERM "$1" 2>/dev/null || return 0
  local attempts=$(($3 * 10))
  while is_process "$1" "$2"; do
    [ "$attempts" -gt 0 ] || die "$2 (process $1) did not stop within $3 s"
    attempts=$((attempts - 1))
    sleep 0.1
  done
}
