#!/usr/bin/env bash
# A second Docker Engine on this machine, for tests with several hosts: its own bridge, data and socket in DIR.
#   scripts/second_engine.sh start DIR     (again after a kill); its address is unix://DIR/docker.sock
#   scripts/second_engine.sh stop DIR      ends it and takes its bridge away
# Its runs' networks lie in its own subnet. The firewall belongs to the machine's first engine, which drops what bridges
# it does not know forward; one rule lets through what stays within a bridge of that subnet, and goes away with stop.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$PATH:/usr/sbin:/sbin

bridge=br-cronium2
subnet=10.217.0.0/16
within=(-s "$subnet" -d "$subnet" -m physdev --physdev-is-bridged -j ACCEPT)
dir=${2:?usage: scripts/second_engine.sh start|stop DIR}

let_through() {
  iptables -n -L DOCKER-USER >/dev/null 2>&1 || return 0
  iptables -C DOCKER-USER "${within[@]}" 2>/dev/null || iptables -I DOCKER-USER "${within[@]}"
}

start() {
  is_root || die "a second engine needs root"
  mkdir -p "$dir"
  ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
  ip addr replace 10.99.77.1/24 dev "$bridge"
  ip link set "$bridge" up
  let_through
  local old
  old=$(cat "$dir/docker.pid" 2>/dev/null || true)
  if process_is "$old" dockerd && python3 scripts/engine_ping.py "unix://$dir/docker.sock"; then return 0; fi
  rm -f "$dir/docker.pid"
  setsid dockerd -H "unix://$dir/docker.sock" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/docker.pid" --bridge "$bridge" --iptables=false --ip-forward=false --ip-masq=false \
    </dev/null >>"$dir/dockerd.log" 2>&1 &
  local left=240
  until python3 scripts/engine_ping.py "unix://$dir/docker.sock"; do
    [ "$left" -gt 0 ] || die "the second engine did not start; its log is $dir/dockerd.log"
    left=$((left - 1))
    sleep 0.25
  done
}

unmount_left() {
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null || true; done \
    < <(cut -d' ' -f2 /proc/mounts | grep -F "$(readlink -f "$dir")/" | sort -r)
}

stop() {
  local pid child
  pid=$(cat "$dir/docker.pid" 2>/dev/null || true)
  stop_process "$pid" dockerd 60
  child=$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null || true)
  stop_process "$child" containerd 20
  ip link del "$bridge" 2>/dev/null || true
  iptables -D DOCKER-USER "${within[@]}" 2>/dev/null || true
  unmount_left
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) die "usage: scripts/second_engine.sh start|stop DIR" ;;
esac
