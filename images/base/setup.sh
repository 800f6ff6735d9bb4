#!/bin/sh
# Steps that every image's build shares; it runs inside the build and works on Alpine and on Debian.
#   setup.sh packages FAMILY "ALPINE PACKAGES" "DEBIAN PACKAGES"
#   setup.sh user       the user cronium (1000:1000) and its /workspace
#   setup.sh seal       no setuid or setgid bit is left anywhere
#   setup.sh verify     fails the build when one of these promises does not hold
set -eu

packages() {
  case $1 in
    alpine)
      apk upgrade --no-cache
      # shellcheck disable=SC2086
      [ -z "$2" ] || apk add --no-cache $2
      ;;
    debian)
      [ -n "$3" ] || return 0
      apt-get update -q
      # shellcheck disable=SC2086
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $3
      # Compiled again below, or never read: what a package brings besides its programs.
      rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /var/cache/ldconfig/*
      ;;
    *) echo "unknown family $1" >&2; exit 1 ;;
  esac
}

# Whoever sits on 1000 in the base (the node image has such a user) makes room.
free_id() {
  taken=$(awk -F: '$3 == 1000 { print $1 }' /etc/passwd)
  if [ -n "$taken" ]; then
    if command -v deluser >/dev/null; then deluser "$taken"; else userdel "$taken"; fi
  fi
  group=$(awk -F: '$3 == 1000 { print $1 }' /etc/group)
  if [ -n "$group" ]; then
    if command -v delgroup >/dev/null; then delgroup "$group"; else groupdel "$group"; fi
  fi
}

user() {
  free_id
  if command -v useradd >/dev/null; then
    groupadd --gid 1000 cronium
    useradd --uid 1000 --gid 1000 --home-dir /workspace --no-create-home --shell /bin/sh cronium
  else
    addgroup -g 1000 cronium
    adduser -D -H -u 1000 -G cronium -h /workspace -s /bin/sh cronium
  fi
  mkdir -p /workspace
  chown 1000:1000 /workspace
  chmod 755 /workspace
}

# -perm /6000 is not in every find; these two are.
special_files() { find / -xdev \( -perm -4000 -o -perm -2000 \) \( -type f -o -type d \); }

seal() {
  special_files | while IFS= read -r path; do chmod u-s,g-s "$path"; done
}

verify() {
  left=$(special_files)
  if [ -n "$left" ]; then
    echo "setuid or setgid bits are left on: $left" >&2
    exit 1
  fi
  [ "$(id -u cronium):$(id -g cronium)" = 1000:1000 ] || { echo "cronium is not 1000:1000" >&2; exit 1; }
  [ -x /bin/sh ] || { echo "/bin/sh is missing" >&2; exit 1; }
}

step=$1
shift
case $step in
  packages | user | seal | verify) "$step" "$@" ;;
  *) echo "unknown step $step" >&2; exit 1 ;;
esac
