set -Eeuo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_COLOR=1 PIP_PROGRESS_BAR=off PIP_RETRIES=2
export NPM_CONFIG_AUDIT=false NPM_CONFIG_FUND=false NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_PROGRESS=false
# The memory file system /tmp leaves nothing in the image. WORK is on the disk, for large files, and is removed.
GIVEN=/tmp/.cronium CONF=/tmp/cronium-build WORK=/var/tmp/cronium-build MODULES=/opt/cronium/node
CA=$GIVEN/ca.pem OWN_CA=/usr/local/share/ca-certificates/cronium-build.crt
mkdir -p "$CONF" "$WORK"
export TMPDIR=$WORK NPM_CONFIG_CACHE=$WORK/npm-cache NPM_CONFIG_USERCONFIG=$GIVEN/npmrc

current="STEP 0 of $STEPS  begin"
step() { current="STEP $1 of $STEPS  $2"; echo "$current"; }
trap 'code=$?; echo "FAILED $current (exit code $code)" >&2; exit $code' ERR
fail() { echo "$1" >&2; return 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Certificates of the settings: in the system's store and for the programs that read their own.
trust_ca() {
  [ -s "$CA" ] || return 0
  local system=/etc/ssl/certs/ca-certificates.crt bundle=$CONF/ca-bundle.pem
  { if [ -r "$system" ]; then cat "$system"; fi; cat "$CA"; } >"$bundle"
  export SSL_CERT_FILE=$bundle REQUESTS_CA_BUNDLE=$bundle PIP_CERT=$bundle NODE_EXTRA_CA_CERTS=$CA
  export CURL_CA_BUNDLE=$bundle GIT_SSL_CAINFO=$bundle NPM_CONFIG_CAFILE=$bundle
  has update-ca-certificates || return 0
  mkdir -p "${OWN_CA%/*}" && cp "$CA" "$OWN_CA"
  update-ca-certificates >/dev/null 2>&1
}

forget_ca() {
  [ -s "$CA" ] && [ -z "${BUILD_KEEP_CA:-}" ] && [ -e "$OWN_CA" ] || return 0
  rm -f "$OWN_CA"
  update-ca-certificates --fresh >/dev/null 2>&1
}

configure_apt() {
  {
    echo 'APT::Sandbox::User "root"; APT::Install-Recommends "false"; APT::Install-Suggests "false";'
    echo 'Acquire::Retries "2"; Acquire::http::Timeout "60"; Acquire::https::Timeout "60"; Dpkg::Use-Pty "false";'
    [ ! -s "$CA" ] || echo "Acquire::https::CAInfo \"$CONF/ca-bundle.pem\";"
    [ ! -s "$GIVEN/apt-auth" ] || echo "Dir::Etc::netrc \"$GIVEN/apt-auth\";"
  } >"$CONF/apt.conf"
  export APT_CONFIG=$CONF/apt.conf
  [ -n "${BUILD_APT_MIRROR:-}" ] || return 0
  # The image's own sources, with the mirror instead of scheme and host.
  mkdir -p "$CONF/sources.list.d" && : >"$CONF/sources.list"
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    local target=$CONF/sources.list.d/${file##*/}
    sed -E "s#https?://(deb|security)\.debian\.org#$BUILD_APT_MIRROR#; s#https?://(archive|security|ports)\.ubuntu\.com#$BUILD_APT_MIRROR#" "$file" >"$target"
  done
  echo "Dir::Etc::sourcelist \"$CONF/sources.list\"; Dir::Etc::sourceparts \"$CONF/sources.list.d\";" >>"$CONF/apt.conf"
}

configure_apk() {
  local mirror=${BUILD_APK_MIRROR:-} given=$GIVEN/apk-mirror
  APK_OPTIONS=()
  [ ! -s "$given" ] || mirror=$(cat "$given")
  [ -n "$mirror" ] || return 0
  sed -E "s#https?://dl-cdn\.alpinelinux\.org#$mirror#" /etc/apk/repositories >"$CONF/repositories"
  APK_OPTIONS=(--repositories-file "$CONF/repositories")
}

update_index() {
  [ ! -e "$CONF/updated" ] || return 0
  apt-get update -q
  touch "$CONF/updated"
}

install_system() {
  if has apt-get; then
    update_index
    apt-get install -y -q --no-install-recommends -- "$@"
  elif has apk; then
    apk add --no-cache "${APK_OPTIONS[@]}" "$@"
  else
    fail "cronium-build: the image has neither apt-get nor apk, so it can't install system packages"
  fi
}

# Sets PIP. Without pip in the image, it runs from a wheel that leaves nothing in the image.
find_pip() {
  has python3 || fail "cronium-build: the image has no python3"
  PIP=(python3 -m pip)
  if python3 -m pip --version >/dev/null 2>&1; then return 0; fi
  local wheel
  if ! python3 "$CONF/fetch_pip.py" "$CONF" && has apt-get; then
    update_index
    (cd "$WORK" && apt-get download -q python3-pip-whl && dpkg-deb -x python3-pip-whl_*.deb "$WORK/pip")
    cp "$WORK"/pip/usr/share/python-wheels/pip-*.whl "$CONF/"
  fi
  wheel=$(ls "$CONF"/pip-*.whl 2>/dev/null | head -n 1) || true
  [ -n "$wheel" ] || fail "cronium-build: pip is not in the image, and not on the package index either"
  PIP=(python3 "$wheel/pip")
}

# Sets NPM, in the same way.
find_npm() {
  has node || fail "cronium-build: the image has no node"
  NPM=(npm)
  if has npm; then return 0; fi
  mkdir -p "$WORK/npm"
  node "$CONF/fetch_npm.js" "$WORK/npm.tgz"
  tar -xzf "$WORK/npm.tgz" -C "$WORK/npm" --no-same-owner
  NPM=(node "$WORK/npm/package/bin/npm-cli.js")
}

install_node() {
  mkdir -p "$MODULES"
  # Scripts in /workspace find it there, with require and with import.
  [ -e /node_modules ] || ln -s "$MODULES/node_modules" /node_modules
  (cd "$MODULES" && "${NPM[@]}" install --loglevel=warn -- "$@")
}

list_packages() {
  if has dpkg-query; then dpkg-query -W -f '${Package} ${Version}\n'; elif has apk; then apk list --installed; fi
  if [ -n "${PIP+set}" ]; then "${PIP[@]}" freeze; fi
  if [ -n "${NPM+set}" ]; then (cd "$MODULES" && "${NPM[@]}" ls --all --no-color); fi
}

check_packages() {
  if [ -n "${PIP+set}" ]; then "${PIP[@]}" check; fi
  if has dpkg; then [ -z "$(dpkg --audit)" ] || fail "cronium-build: dpkg reports packages that are not installed completely"; fi
}

find_setuid_files() { find / -xdev \( -perm -4000 -o -perm -2000 \) \( -type f -o -type d \) 2>/dev/null || true; }

clean_up() {
  forget_ca
  rm -rf "$WORK" /root/.cache /root/.npm /root/.config/pip /var/cache/apt/archives /var/cache/apt/*.bin
  rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/cache/ldconfig/* /var/cache/apk/*
  find /var/log -type f -delete 2>/dev/null || true
  mkdir -p /var/cache/apt/archives/partial 2>/dev/null || true
  find_setuid_files | while IFS= read -r path; do
    echo "removing the setuid or setgid bit of $path"
    chmod u-s,g-s "$path"
  done
  [ -z "$(find_setuid_files)" ] || fail "cronium-build: setuid files remain: $(find_setuid_files | head -n 3 | tr '\n' ' ')"
}
