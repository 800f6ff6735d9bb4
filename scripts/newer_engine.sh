#!/usr/bin/env bash
# Runs a command against a newer Docker Engine than the machine's, to test both generations. Needs root on Debian.
#   scripts/newer_engine.sh COMMAND ...
#       sets CRONIUM_DOCKER_HOST and DOCKER_HOST of the command to the newer engine's address, and CRONIUM_TEST_OFFLINE,
#       which skips the tests that need a package mirror
# debootstrap installs the Debian suite CRONIUM_TEST_ENGINE_SUITE (default: forky) from apt's mirror into
# CRONIUM_TEST_ENGINE_DIR (default: .test-engine). Later calls use the same installation.
# The engine and the command run in a separate network namespace without a route to the outside. The machine's firewall
# and networks stay unchanged. The command cannot reach services on the machine's loopback address.
# CRONIUM_TEST_ENGINE_STORE=containerd gives the engine containerd's image store, the default of new installations from
# Engine 29 on; otherwise it has the classic one.
# When the command ends, the engine and its containers are stopped, and their data is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$PATH:/usr/sbin:/sbin

[ $# -gt 0 ] || die "usage: scripts/newer_engine.sh COMMAND ..."
suite=${CRONIUM_TEST_ENGINE_SUITE:-forky}
folder=${CRONIUM_TEST_ENGINE_DIR:-.test-engine}
case ${CRONIUM_TEST_ENGINE_STORE:-classic} in
  classic) containerd_store=false ;;
  containerd) containerd_store=true ;;
  *) die "CRONIUM_TEST_ENGINE_STORE is classic or containerd, not $CRONIUM_TEST_ENGINE_STORE" ;;
esac
packages=docker.io,containerd,runc,iptables,iproute2,ca-certificates

install_engine() {
  [ ! -e "$root/.complete" ] || return 0
  command -v debootstrap >/dev/null || install_apt_packages "$folder/apt.log" debootstrap
  local mirror scripts=/usr/share/debootstrap/scripts
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F '|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
  [ -n "$mirror" ] || die "apt has no Debian mirror: the newer engine needs Debian"
  say "installing the Docker Engine of Debian $suite into $root (about 2 minutes) ..."
  rm -rf "$root"
  local suite_script="$scripts/$suite"
  [ -e "$suite_script" ] || suite_script="$scripts/sid" # debootstrap does not know a newer suite
  debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" "$suite_script" \
    </dev/null >"$folder/debootstrap.log" 2>&1 || {
    tail -n 5 "$folder/debootstrap.log" >&2
    die "debootstrap failed; the full output is in $folder/debootstrap.log"
  }
  touch "$root/.complete"
}

# Runs as process 1 of new namespaces: when it ends, the kernel kills its child processes and removes its mounts.
# Uses pivot_root, because dockerd cannot load images in a chroot.
boot_script='
set -eu
root=$1 state=$2 containerd_store=$3
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
ip link add out0 type veth peer name out1 # dockerd needs an address and a default route; this route leads nowhere
ip addr add 198.51.100.1/24 dev out0
ip link set out0 up
ip link set out1 up
ip route add default via 198.51.100.2
sysctl -qw net.ipv4.ip_forward=1 2>/dev/null || echo 1 >/proc/sys/net/ipv4/ip_forward
dockerd -H unix:///state/docker.sock --data-root /state/data --exec-root /state/exec --pidfile /state/docker.pid \
  --feature containerd-snapshotter="$containerd_store" &
wait $!
'

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$namespaces" ]; then
    kill -KILL "$namespaces" 2>/dev/null || true # unshare ignores TERM; KILL also ends its child
    wait "$namespaces" 2>/dev/null || true
  fi
  rm -rf "$state" 2>/dev/null || { sleep 1 && rm -rf "$state"; } || status=1
  exit "$status"
}

is_root || die "the newer engine needs root"
mkdir -p "$folder"
root=$(readlink -f "$folder")/$suite
install_engine
state=$(mktemp -d /tmp/cronium-newer-XXXXXX) # a socket path is limited to 107 bytes; the checkout's path may be longer
namespaces=""
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
unshare --mount --net --pid --fork --kill-child=KILL bash -c "$boot_script" boot "$root" "$state" "$containerd_store" \
  </dev/null >"$folder/dockerd.log" 2>&1 &
namespaces=$!
address=unix://$state/docker.sock
attempts=240
until python3 scripts/engine_ping.py "$address"; do
  if [ "$attempts" -eq 0 ] || [ ! -d "/proc/$namespaces" ]; then
    tail -n 5 "$folder/dockerd.log" >&2
    die "the newer engine did not start; its log is $folder/dockerd.log"
  fi
  attempts=$((attempts - 1))
  sleep 0.25
done
children=$(cat "/proc/$namespaces/task/$namespaces/children")
CRONIUM_TEST_OFFLINE=1 CRONIUM_DOCKER_HOST=$address DOCKER_HOST=$address nsenter --net="/proc/${children%% *}/ns/net" "$@"
