#!/usr/bin/env bash
# Runs a command beside a newer Docker Engine than the machine's own, for tests of both generations. Needs root on Debian.
#   scripts/newer_engine.sh COMMAND ...
#       CRONIUM_DOCKER_HOST and DOCKER_HOST name the newer engine for the command
# The engine comes from the Debian suite CRONIUM_TEST_ENGINE_SUITE (forky when it is not set), installed by debootstrap
# from the mirror that apt uses into CRONIUM_TEST_ENGINE_DIR (.test-engine), where it stays for the next time.
# Engine and command share a network namespace of their own: the machine's firewall and networks are not touched, and
# nothing there reaches outside. The command can reach no service on the machine's loopback address.
# The engine ends with the command, and so do its containers; the files of both are removed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$PATH:/usr/sbin:/sbin

[ $# -gt 0 ] || die "usage: scripts/newer_engine.sh COMMAND ..."
suite=${CRONIUM_TEST_ENGINE_SUITE:-forky}
folder=${CRONIUM_TEST_ENGINE_DIR:-.test-engine}
packages=docker.io,containerd,runc,iptables,iproute2,ca-certificates

install_engine() {
  [ ! -e "$root/.complete" ] || return 0
  command -v debootstrap >/dev/null || apt_install "$folder/apt.log" debootstrap
  local mirror scripts=/usr/share/debootstrap/scripts
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F '|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
  [ -n "$mirror" ] || die "apt knows no Debian mirror: a newer engine can be tried on Debian only"
  say "installing the Docker Engine of Debian $suite into $root (two minutes) ..."
  rm -rf "$root"
  local named=("$scripts/$suite")
  [ -e "${named[0]}" ] || named=("$scripts/sid") # a suite that is newer than debootstrap
  debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" "${named[@]}" \
    </dev/null >"$folder/debootstrap.log" 2>&1 || {
    tail -n 5 "$folder/debootstrap.log" >&2
    die "debootstrap failed; the whole output is in $folder/debootstrap.log"
  }
  touch "$root/.complete"
}

# In namespaces of its own: pivot_root, because dockerd can't load images in a chroot. Process 1 of the namespace: at
# its end the kernel ends all that it has started, and unmounts what it has mounted.
boot='
set -eu
root=$1 state=$2
mount --make-rprivate /
mount --bind "$root" "$root"
mkdir -p "$root/.old" "$root/state"
mount --bind "$state" "$root/state"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cd "$root"
pivot_root . .old
cd /
umount -l /.old
export HOME=/root TMPDIR=/state PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up
ip link add out0 type veth peer name out1 # a host has an address and a way out; this one leads nowhere
ip addr add 198.51.100.1/24 dev out0
ip link set out0 up
ip link set out1 up
ip route add default via 198.51.100.2
sysctl -qw net.ipv4.ip_forward=1 2>/dev/null || echo 1 >/proc/sys/net/ipv4/ip_forward
dockerd -H unix:///state/docker.sock --data-root /state/data --exec-root /state/exec --pidfile /state/docker.pid &
wait $!
'

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$namespaces" ]; then
    kill -KILL "$namespaces" 2>/dev/null || true # unshare ignores TERM; its child ends with it
    wait "$namespaces" 2>/dev/null || true
  fi
  rm -rf "$state" 2>/dev/null || { sleep 1 && rm -rf "$state"; } || status=1
  exit "$status"
}

is_root || die "a newer engine needs root"
mkdir -p "$folder"
root=$(readlink -f "$folder")/$suite
install_engine
state=$(mktemp -d /tmp/cronium-newer-XXXXXX) # a socket's path has 107 bytes, so not below a deep checkout
namespaces=""
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
unshare --mount --net --pid --fork --kill-child=KILL bash -c "$boot" boot "$root" "$state" \
  </dev/null >"$folder/dockerd.log" 2>&1 &
namespaces=$!
address=unix://$state/docker.sock
left=240
until python3 scripts/engine_ping.py "$address"; do
  if [ "$left" -eq 0 ] || [ ! -d "/proc/$namespaces" ]; then
    tail -n 5 "$folder/dockerd.log" >&2
    die "the newer engine did not start; its log is $folder/dockerd.log"
  fi
  left=$((left - 1))
  sleep 0.25
done
inner=$(cat "/proc/$namespaces/task/$namespaces/children")
CRONIUM_DOCKER_HOST=$address DOCKER_HOST=$address nsenter --net="/proc/${inner%% *}/ns/net" "$@"
