#!/usr/bin/env bash
# A further Docker Engine on this machine, for tests with several hosts: its own bridge, data and socket in DIR.
#   scripts/second_engine.sh start DIR [NUMBER [ARGUMENT ...]]
#       (again after a kill); its address is unix://DIR/docker.sock; the arguments are dockerd's
#   scripts/second_engine.sh stop DIR [NUMBER]
#       ends it and takes its bridge away
# NUMBER, 2 when it is not given, tells those apart that stand at once: 2 to 40.
# Its runs' networks lie in its own subnet. The firewall belongs to the machine's first engine, which drops what bridges
# it does not know forward; one rule lets through what stays within a bridge of that subnet, and goes away with stop.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$PATH:/usr/sbin:/sbin

usage='usage: scripts/second_engine.sh start|stop DIR [NUMBER [ARGUMENT ...]]'
what=${1:?$usage}
dir=${2:?$usage}
number=${3:-2}
more=("${@:4}")
case $number in
  [2-9] | [1-3][0-9] | 40) ;; # the last one's subnet is 10.255.0.0/16
  *) die "$usage; NUMBER is 2 to 40" ;;
esac
bridge=br-cronium$number
subnet=10.$((215 + number)).0.0/16
within=(-s "$subnet" -d "$subnet" -m physdev --physdev-is-bridged -j ACCEPT)

let_through() {
  iptables -w 10 -n -L DOCKER-USER >/dev/null 2>&1 || return 0
  iptables -w 10 -C DOCKER-USER "${within[@]}" 2>/dev/null || iptables -w 10 -I DOCKER-USER "${within[@]}"
}

launch() {
  rm -f "$dir/docker.pid"
  TMPDIR=$dir setsid dockerd -H "unix://$dir/docker.sock" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/docker.pid" --bridge "$bridge" --iptables=false --ip-forward=false --ip-masq=false \
    ${more[@]+"${more[@]}"} </dev/null >>"$dir/dockerd.log" 2>&1 &
  launched=$!
}

start() {
  is_root || die "a further engine needs root"
  mkdir -p "$dir"
  ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
  ip addr replace "10.99.$((75 + number)).1/24" dev "$bridge"
  ip link set "$bridge" up
  let_through
  local old launched left=240
  old=$(cat "$dir/docker.pid" 2>/dev/null || true)
  if process_is "$old" dockerd && python3 scripts/engine_ping.py "unix://$dir/docker.sock"; then return 0; fi
  launch
  until python3 scripts/engine_ping.py "unix://$dir/docker.sock"; do
    [ "$left" -gt 0 ] || die "the engine did not start; its log is $dir/dockerd.log"
    # A containerd whose dockerd was killed ends a moment later: who takes it for its own meanwhile waits in vain.
    process_is "$launched" dockerd || process_is "$launched" setsid || launch
    left=$((left - 1))
    sleep 0.25
  done
}

# A dockerd that is killed while it starts a container leaves that one's shim behind, which nobody ends any more.
end_left_shims() {
  local entry
  for entry in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$entry/cmdline" | grep -qxF "$dir/exec/containerd/containerd.sock" \
      && process_is "${entry#/proc/}" containerd-shim; then
      kill -KILL "${entry#/proc/}" 2>/dev/null || true
    fi
  done
}

unmount_left() {
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null || true; done \
    < <(cut -d' ' -f2 /proc/mounts | grep -F "$(readlink -m "$dir")/" | sort -r)
}

stop() {
  local pid child
  pid=$(cat "$dir/docker.pid" 2>/dev/null || true)
  stop_process "$pid" dockerd 60
  child=$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null || true)
  stop_process "$child" containerd 20
  end_left_shims
  ip link del "$bridge" 2>/dev/null || true
  iptables -w 10 -D DOCKER-USER "${within[@]}" 2>/dev/null || true
  unmount_left
}

case $what in
  start) start ;;
  stop) stop ;;
  *) die "$usage" ;;
esac
