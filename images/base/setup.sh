#!/bin/sh
# Build steps shared by all images, for Alpine and Debian.
#   setup.sh packages FAMILY "ALPINE PACKAGES" "DEBIAN PACKAGES"
#   setup.sh user       creates the user cronium (1000:1000) and /workspace
#   setup.sh seal       removes all setuid and setgid bits
#   setup.sh verify     fails the build if a step before had no effect
set -eu

install_packages() {
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
      # Caches and logs that the image does not need.
      rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /var/cache/ldconfig/*
      ;;
    *) echo "unknown family $1" >&2; exit 1 ;;
  esac
}

# Removes the user and the group with id 1000 of the base image (node has one).
free_id() {
  user=$(awk -F: '$3 == 1000 { print $1 }' /etc/passwd)
  if [ -n "$user" ]; then
    if command -v deluser >/dev/null; then deluser "$user"; else userdel "$user"; fi
  fi
  group=$(awk -F: '$3 == 1000 { print $1 }' /etc/group)
  if [ -n "$group" ]; then
    if command -v delgroup >/dev/null; then delgroup "$group"; else groupdel "$group"; fi
  fi
}

create_user() {
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

# Not every find supports -perm /6000.
find_setuid_files() { find / -xdev \( -perm -4000 -o -perm -2000 \) \( -type f -o -type d \); }

remove_setuid_bits() {
  find_setuid_files | while IFS= read -r path; do chmod u-s,g-s "$path"; done
}

verify_image() {
  files=$(find_setuid_files)
  if [ -n "$files" ]; then
    echo "setuid or setgid bits remain on: $files" >&2
    exit 1
  fi
  [ "$(id -u cronium):$(id -g cronium)" = 1000:1000 ] || { echo "cronium is not 1000:1000" >&2; exit 1; }
  [ -x /bin/sh ] || { echo "/bin/sh is missing" >&2; exit 1; }
}

step=$1
shift
case $step in
  packages) install_packages "$@" ;;
  user) create_user ;;
  seal) remove_setuid_bits ;;
  verify) verify_image ;;
  *) echo "unknown step $step" >&2; exit 1 ;;
esac
