#!/usr/bin/env bash
# Rebuilds the browser bundles from their pinned sources and compares them with the committed files.
# Running Cronium needs no Node. Without npm the script prints a message and exits 0; in CI it installs npm.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if ! command -v npm >/dev/null; then
  if [ "${CI:-}" = true ] && is_root && is_debian_like; then
    say "installing nodejs and npm to rebuild the bundles ..."
    install_apt_packages "${CRONIUM_DATA_DIR:-data}/node-install.log" nodejs npm
  else
    say "npm is not installed: skipped the comparison of static/cronium with frontend/"
    exit 0
  fi
fi
lock=$(sha256sum frontend/package-lock.json)
stamp=frontend/node_modules/.lock-stamp
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$lock" ]; then
  say "installing the packages that the bundles are built from ..."
  npm ci --prefix frontend --no-audit --no-fund --silent </dev/null
  printf '%s' "$lock" >"$stamp"
fi
node frontend/build.mjs --check
