# What the instructions of a Dockerfile change: names of variables, directory, and user.
NAMES=() IMAGE_DIR=/ USER_NAME=root USER_ID=0 GROUP_ID=0 USER_HOME=/root SWITCH=()
# Other users write temporary files and caches too.
chmod 1777 "$WORK"
mkdir -p -m 1777 "$NPM_CONFIG_CACHE"

# Replaces this shell by a command, as the user and with the variables of the Dockerfile.
execute() {
  local name variable assignments=(${INHERITED[@]+"${INHERITED[@]}"} "HOME=$USER_HOME")
  for name in ${NAMES[@]+"${NAMES[@]}"}; do
    variable=ENV_$name
    assignments+=("$name=${!variable}")
  done
  cd "$IMAGE_DIR"
  exec ${SWITCH[@]+"${SWITCH[@]}"} env "${assignments[@]}" "$@" </dev/null
}

make_absolute() { case $1 in /*) echo "$1" ;; *) echo "${IMAGE_DIR%/}/$1" ;; esac }

enter_directory() {
  IMAGE_DIR=$(make_absolute "$1")
  mkdir -p "$IMAGE_DIR"
  case $IMAGE_DIR/ in /workspace/* | /tmp/*) echo "$IMAGE_DIR is in memory: the image does not get its files." ;; esac
}

# The line of a user or group, by name or number.
find_account() {
  local file=$1 name password id rest
  while IFS=: read -r name password id rest; do
    if [ "$name" = "$2" ] || [ "$id" = "$2" ]; then
      echo "$name:$password:$id:$rest"
      return 0
    fi
  done <"$file"
  return 1
}

use_user() {
  local group= line gecos password
  case $1 in *:*) group=${1#*:} ;; esac
  USER_NAME=${1%%:*} USER_HOME=/ GROUP_ID=0
  if line=$(find_account /etc/passwd "$USER_NAME"); then
    IFS=: read -r USER_NAME password USER_ID GROUP_ID gecos USER_HOME password <<<"$line"
  else
    case $USER_NAME in
      '' | *[!0-9]*) fail "There is no user '$USER_NAME' in /etc/passwd. Create it in an earlier RUN: useradd $USER_NAME" ;;
    esac
    USER_ID=$USER_NAME USER_NAME=
  fi
  if [ -n "$group" ]; then
    if line=$(find_account /etc/group "$group"); then
      IFS=: read -r gecos password GROUP_ID gecos <<<"$line"
    else
      case $group in *[!0-9]*) fail "There is no group '$group' in /etc/group. Create it in an earlier RUN: groupadd $group" ;; esac
      GROUP_ID=$group
    fi
  fi
  choose_switch "$group"
}

# setpriv does not work here: it sets capabilities, which builds may not.
choose_switch() {
  local python='import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))'
  SWITCH=()
  [ "$USER_ID:$GROUP_ID" != 0:0 ] || return 0
  if [ -n "$USER_NAME" ] && [ -z "$1" ] && has su; then
    SWITCH=(su -s /bin/sh -c 'exec "$@"' -- "$USER_NAME" sh)
  elif has python3; then
    SWITCH=(python3 -I -c "$python; os.execvp(sys.argv[3], sys.argv[3:])" "$USER_ID" "$GROUP_ID")
  elif has perl; then
    SWITCH=(perl -e '($uid, $gid, @command) = @ARGV; $) = "$gid $gid"; $( = $gid; $< = $uid; $> = $uid; exec @command'
      "$USER_ID" "$GROUP_ID")
  else
    fail "The base image has neither python3 nor perl, so USER needs the name of a user of /etc/passwd, without a group."
  fi
}

# copy_file NAME TARGET MODE OWNER: the text on standard input becomes a file.
copy_file() {
  local target
  target=$(make_absolute "$2")
  if [ "${target%/}" != "$target" ] || [ -d "$target" ]; then target=${target%/}/$1; fi
  case $target in
    /workspace/* | /tmp/* | /dev/* | /proc/* | /sys/*)
      fail "$target is in memory, so the image would not get the file. Choose another folder, such as /opt/app."
      ;;
  esac
  mkdir -p "${target%/*}/"
  cat >"$target"
  chmod "$3" "$target"
  [ -z "$4" ] || chown "$4" "$target"
}

# apk has no variable that names its mirror: its file has the mirror while the instructions run.
lend_apk_repositories() {
  [ -n "${APK_OPTIONS[*]-}" ] || return 0
  cp /etc/apk/repositories "$CONF/repositories.own"
  cat "$CONF/repositories" >/etc/apk/repositories
}

restore_apk_repositories() {
  [ -e "$CONF/repositories.own" ] || return 0
  local mirror=${BUILD_APK_MIRROR:-}
  [ ! -s "$GIVEN/apk-mirror" ] || mirror=$(cat "$GIVEN/apk-mirror")
  if cmp -s /etc/apk/repositories "$CONF/repositories"; then
    cat "$CONF/repositories.own" >/etc/apk/repositories
  else
    sed -i "s#$mirror#https://dl-cdn.alpinelinux.org#" /etc/apk/repositories
  fi
}
