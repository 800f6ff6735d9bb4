#!/bin/sh
# Builds the Debian root file system of a snapshot: debian-rootfs.sh with the package sources of the snapshot.
#   debian-snapshot.sh SUITE ARCHIVE SECURITY_ARCHIVE NEWEST WORKDIR
# NEWEST is a mirror with today's packages: /etc/apt/newest.list names it, for the search for updates.
set -eu

suite=$1 archive=$2 security=$3 newest=$4 work=$5
chroot=$(command -v chroot)

# debian-rootfs.sh calls apt-get in the new root after it has written the sources: they are replaced before that.
mkdir "$work/bin"
cat >"$work/bin/chroot" <<SHIM
#!/bin/sh
set -eu
apt=\$1/etc/apt
if [ "\$2" = apt-get ] && [ ! -e "\$apt/newest.list" ]; then
  cat >"\$apt/sources.list" <<LIST
deb $archive $suite main
deb $archive $suite-updates main
deb $security $suite-security main
LIST
  cat >"\$apt/newest.list" <<LIST
deb $newest $suite main
deb $newest $suite-updates main
deb $newest-security $suite-security main
LIST
  # The lists of a snapshot are older than their dates allow.
  echo 'Acquire::Check-Valid-Until "false";' >"\$apt/apt.conf.d/02-snapshot"
fi
exec "$chroot" "\$@"
SHIM
chmod 755 "$work/bin/chroot"

PATH=$work/bin:$PATH
export PATH
"$(dirname "$0")/debian-rootfs.sh" "$suite" "$archive" "$work"
