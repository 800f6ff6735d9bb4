#!/bin/sh
# Makes the small Debian root file system that the Debian images stand on, as a tar on standard output.
#   debian-rootfs.sh SUITE MIRROR WORKDIR
# Root only. Words go to standard error. WORKDIR must exist, be empty, and allow programs and device files.
set -eu

suite=$1 mirror=$2 root=$3/rootfs

# In a mount namespace of its own nothing that debootstrap mounts can outlive this script.
if [ "${CRONIUM_ROOTFS_UNSHARED:-}" != 1 ] && unshare --mount --propagation private true 2>/dev/null; then
  CRONIUM_ROOTFS_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >&2

# Security fixes come from their own archive. A mirror that does not carry it is a reason to stop, not to go on
# with old packages.
cat >"$root/etc/apt/sources.list" <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb $mirror-security $suite-security main
LIST

# Later apt-get runs in the image builds leave out what these images never need, too.
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

in_root() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" "$@" </dev/null >&2; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
in_root apt-get update -q
in_root apt-get upgrade -y -q
rm -f "$root/etc/resolv.conf"

find "$root/usr/share/doc" -mindepth 2 -not -name copyright -not -type d -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/lintian "$root"/usr/share/locale/*
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old
rm -rf "$root"/var/log/* "$root"/tmp/* "$root"/root/.bash_history
find "$root" -xdev -type f -perm /6000 -exec chmod a-s {} +
find "$root" -xdev -type d -perm /6000 -exec chmod a-s {} +

tar -C "$root" --numeric-owner -c .
