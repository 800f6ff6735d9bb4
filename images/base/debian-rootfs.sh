#!/bin/sh
# Builds the small Debian root file system for the Debian images; writes a tar to standard output.
#   debian-rootfs.sh SUITE MIRROR WORKDIR
# Needs root. Messages go to standard error. WORKDIR must be an empty folder, without noexec and nodev.
set -eu

suite=$1 mirror=$2 root=$3/rootfs

# In a separate mount namespace, the mounts of debootstrap end with this script.
if [ "${CRONIUM_ROOTFS_UNSHARED:-}" != 1 ] && unshare --mount --propagation private true 2>/dev/null; then
  CRONIUM_ROOTFS_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >&2

# Security updates are in a separate archive. If the mirror lacks it, the build fails instead of using old packages.
cat >"$root/etc/apt/sources.list" <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb $mirror-security $suite-security main
LIST

# Later apt-get calls in the image builds also skip these files.
cat >"$root/etc/dpkg/dpkg.cfg.d/01-small" <<CFG
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
CFG
cat >"$root/etc/apt/apt.conf.d/01-small" <<CFG
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Languages "none";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CFG

run_in_root() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" "$@" </dev/null >&2; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
run_in_root apt-get update -q
run_in_root apt-get upgrade -y -q
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"  # debootstrap copies those of this machine

find "$root/usr/share/doc" -mindepth 2 -not -name copyright -not -type d -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/lintian "$root"/usr/share/locale/*
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old
rm -rf "$root"/var/log/* "$root"/tmp/* "$root"/root/.bash_history
find "$root" -xdev -type f -perm /6000 -exec chmod a-s {} +
find "$root" -xdev -type d -perm /6000 -exec chmod a-s {} +

tar -C "$root" --numeric-owner -c .
