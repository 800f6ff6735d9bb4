#!/usr/bin/env bash
# Runs another Docker Engine on this machine, for tests with several hosts. Its data and its socket are in DIR.
#   scripts/second_engine.sh start DIR [NUMBER [ARGUMENT ...]]
#       starts the engine, also after a kill; its address is unix://DIR/docker.sock; ARGUMENTs are passed to dockerd
#   scripts/second_engine.sh stop DIR [NUMBER]
#       stops the engine and removes its bridge
# NUMBER (2 to 40, default 2) identifies the engine; engines that run at the same time need different numbers.
# Each engine has its own bridge, and its own subnet for the networks of runs. The machine's first engine owns the
# firewall and drops traffic of unknown bridges; start adds a rule that accepts traffic within a bridge of the subnet,
# and stop removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$PATH:/usr/sbin:/sbin

usage='usage: scripts/second_engine.sh start|stop DIR [NUMBER [ARGUMENT ...]]'
action=${1:?$usage}
dir=${2:?$usage}
number=${3:-2}
arguments=("${@:4}")
case $number in
  [2-9] | [1-3][0-9] | 40) ;; # the subnet of 40 is 10.255.0.0/16
  *) die "$usage; NUMBER is 2 to 40" ;;
esac
bridge=br-cronium$number
subnet=10.$((215 + number)).0.0/16
bridge_rule=(-s "$subnet" -d "$subnet" -m physdev --physdev-is-bridged -j ACCEPT)

allow_bridge_traffic() {
  iptables -w 10 -n -L DOCKER-USER >/dev/null 2>&1 || return 0
  iptables -w 10 -C DOCKER-USER "${bridge_rule[@]}" 2>/dev/null || iptables -w 10 -I DOCKER-USER "${bridge_rule[@]}"
}

start_dockerd() {
  rm -f "$dir/docker.pid"
  TMPDIR=$dir setsid dockerd -H "unix://$dir/docker.sock" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/docker.pid" --bridge "$bridge" --iptables=false --ip-forward=false --ip-masq=false \
    ${arguments[@]+"${arguments[@]}"} </dev/null >>"$dir/dockerd.log" 2>&1 &
  started=$!
}

start_engine() {
  is_root || die "another engine needs root"
  mkdir -p "$dir"
  ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
  ip addr replace "10.99.$((75 + number)).1/24" dev "$bridge"
  ip link set "$bridge" up
  allow_bridge_traffic
  local pid started attempts=240
  pid=$(cat "$dir/docker.pid" 2>/dev/null || true)
  if is_process "$pid" dockerd && python3 scripts/engine_ping.py "unix://$dir/docker.sock"; then return 0; fi
  start_dockerd
  until python3 scripts/engine_ping.py "unix://$dir/docker.sock"; do
    [ "$attempts" -gt 0 ] || die "the engine did not start; its log is $dir/dockerd.log"
    # The containerd of a killed dockerd ends a moment later. A dockerd that connected to it before exits: start it again.
    is_process "$started" dockerd || is_process "$started" setsid || start_dockerd
    attempts=$((attempts - 1))
    sleep 0.25
  done
}

# A dockerd that is killed while it starts a container leaves an orphaned shim process.
kill_orphaned_shims() {
  local entry
  for entry in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$entry/cmdline" | grep -qxF "$dir/exec/containerd/containerd.sock" \
      && is_process "${entry#/proc/}" containerd-shim; then
      kill -KILL "${entry#/proc/}" 2>/dev/null || true
    fi
  done
}

remove_mounts() {
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null || true; done \
    < <(cut -d' ' -f2 /proc/mounts | grep -F "$(readlink -m "$dir")/" | sort -r)
}

stop_engine() {
  local pid containerd_pid
  pid=$(cat "$dir/docker.pid" 2>/dev/null || true)
  stop_process "$pid" dockerd 60
  containerd_pid=$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null || true)
  stop_process "$containerd_pid" containerd 20
  kill_orphaned_shims
  ip link del "$bridge" 2>/dev/null || true
  iptables -w 10 -D DOCKER-USER "${bridge_rule[@]}" 2>/dev/null || true
  remove_mounts
}

case $action in
  start) start_engine ;;
  stop) stop_engine ;;
  *) die "$usage" ;;
esac
