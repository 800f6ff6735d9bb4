#!/usr/bin/env bash
# Publishes Cronium's images. docs/release.md explains the steps; .github/workflows/release.yml calls them in this order.
#   scripts/release_image.sh check                    stops unless VERSION is the version of this checkout
#   scripts/release_image.sh login                    signs in to the registry, with REGISTRY_USER and REGISTRY_PASSWORD
#   scripts/release_image.sh build NAME PLATFORM FILE builds for linux/amd64 or linux/arm64, pushes the image without a
#                                                     tag, and writes its digest to FILE
#   scripts/release_image.sh reference NAME FILE      prints the reference of a built image, by digest
#   scripts/release_image.sh merge NAME FILE ...      joins the platforms under the tags of VERSION; prints the digest
#   scripts/release_image.sh sign NAME DIGEST         signs with the identity of the workflow (cosign, without a key)
#   scripts/release_image.sh verify NAME DIGEST       verifies the signature as a user does
# NAME is cronium, bash, python, node, runtime-api or linter. Environment: IMAGE_REGISTRY (a registry with a prefix), VERSION,
# REVISION (default: the commit), SOURCE_URL, SOURCE_DATE_EPOCH (default: the time of the commit), SBOM (default: true;
# BuildKit pulls its scanner from Docker Hub), CRONIUM_BASE and RUNNER_BASE (default: those of the Dockerfiles).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

usage='usage: scripts/release_image.sh check|login|build|reference|merge|sign|verify ...; see the top of the file'
action=${1:?$usage}
shift
issuer=https://token.actions.githubusercontent.com # who vouches for the identity of a workflow

require() {
  local name
  for name in "$@"; do [ -n "${!name:-}" ] || die "$name is not set; see the top of scripts/release_image.sh"; done
}

# Repositories are lower case; the name of an owner on GitHub may not be.
print_registry() { printf '%s' "${IMAGE_REGISTRY%/}" | tr '[:upper:]' '[:lower:]'; }

# The local names with the registry before them: `manage.py images pull --registry IMAGE_REGISTRY` finds them.
print_repository() {
  case $1 in
    cronium | runtime-api | linter) printf '%s/cronium/%s' "$(print_registry)" "$1" ;;
    bash | python | node) printf '%s/cronium/runner' "$(print_registry)" ;;
    *) die "no image is called $1: cronium, bash, python, node, runtime-api or linter" ;;
  esac
}

# The tags that move are those of the images that `manage.py images build` makes; a pre-release (1.2.0-rc1) has none.
print_tags() {
  local moving version
  case $1 in
    bash | python | node) moving=$1-alpine version=$1-alpine-$VERSION ;;
    linter) moving=alpine version=alpine-$VERSION ;;
    *) moving=latest version=$VERSION ;;
  esac
  printf '%s\n' "$version"
  case $VERSION in *-*) ;; *) printf '%s\n' "$moving" ;; esac
}

read_digest() {
  local digest
  digest=$(cat "$1")
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "$1 has no digest: $digest"
  printf '%s' "$digest"
}

# print_field NAME: prints a field of the JSON object on standard input.
print_field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

check_version() {
  require VERSION
  local file
  for file in pyproject.toml cronium_admin/settings.py; do
    grep -qiE "^version = \"${VERSION//./\\.}\"$" "$file" ||
      die "VERSION is $VERSION, but $file has another: $(grep -iE '^version = ' "$file")"
  done
  say "version $VERSION"
}

# The password is passed over standard input, so that it is in no process list.
login() {
  require IMAGE_REGISTRY REGISTRY_USER REGISTRY_PASSWORD
  local host
  host=$(print_registry)
  printf '%s' "$REGISTRY_PASSWORD" | docker login --username "$REGISTRY_USER" --password-stdin "${host%%/*}"
}

metadata=$(mktemp "${TMPDIR:-/tmp}/cronium-release.XXXXXX")
trap 'rm -f "$metadata"' EXIT

build_image() {
  local name=$1 platform=$2 file=$3 repository revision
  require IMAGE_REGISTRY VERSION
  repository=$(print_repository "$name")
  revision=${REVISION:-$(git rev-parse HEAD)}
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  local options=(
    --platform "$platform" --metadata-file "$metadata" --provenance mode=max --sbom "${SBOM:-true}"
    --output "type=image,name=$repository,push=true,push-by-digest=true,name-canonical=true,rewrite-timestamp=true"
  )
  if [ "$name" = cronium ]; then
    options+=(--build-arg "VERSION=$VERSION" --build-arg "REVISION=$revision" --build-arg "SOURCE=${SOURCE_URL:-}")
    [ -z "${CRONIUM_BASE:-}" ] || options+=(--build-arg "BASE=$CRONIUM_BASE")
    docker buildx build "${options[@]}" . >&2
  else
    local base layers
    base=${RUNNER_BASE:-$(python3 scripts/image_context.py "$name" --base)}
    # By digest, so that the label is about the base of the build.
    base=$base@$(docker buildx imagetools inspect --format '{{json .Manifest}}' "$base" | print_field digest)
    layers=$(docker buildx imagetools inspect --format '{{json .Image}}' "$base" |
      python3 scripts/image_context.py "$name" --layers "$platform")
    options+=(
      --build-arg "BASE=$base" --label "org.opencontainers.image.version=$VERSION"
      --label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.source=${SOURCE_URL:-}"
      --label "cronium.family=alpine" --label "cronium.base=$layers"
      --label "cronium.sources=$(python3 scripts/image_context.py "$name" --digest)"
    )
    local context=("$name")
    [ "$name" != linter ] || context+=(--platform "$platform")
    python3 scripts/image_context.py "${context[@]}" | docker buildx build "${options[@]}" - >&2
  fi
  mkdir -p "$(dirname "$file")"
  print_field containerimage.digest <"$metadata" >"$file"
  say "pushed $repository@$(read_digest "$file") for $platform"
}

print_reference() {
  require IMAGE_REGISTRY
  printf '%s@%s\n' "$(print_repository "$1")" "$(read_digest "$2")"
}

merge_platforms() {
  local name=$1 repository tag file first="" digest
  shift
  require IMAGE_REGISTRY VERSION
  [ $# -gt 0 ] || die "no files with digests"
  repository=$(print_repository "$name")
  local arguments=()
  while read -r tag; do
    first=${first:-$tag}
    arguments+=(--tag "$repository:$tag")
  done < <(print_tags "$name")
  for file in "$@"; do arguments+=("$repository@$(read_digest "$file")"); done
  docker buildx imagetools create "${arguments[@]}" >&2
  digest=$(docker buildx imagetools inspect --format '{{json .Manifest}}' "$repository:$first" | print_field digest)
  say "published $repository:$first as $digest"
  printf '%s\n' "$digest"
}

# By digest: a tag can move between the push and the signature.
print_signed() {
  require IMAGE_REGISTRY
  [[ $2 =~ ^sha256:[0-9a-f]{64}$ ]] || die "not a digest: $2"
  printf '%s@%s' "$(print_repository "$1")" "$2"
}

sign_image() {
  local reference
  reference=$(print_signed "$@")
  cosign sign --yes "$reference"
}

verify_image() {
  local reference
  require VERSION SOURCE_URL
  reference=$(print_signed "$@")
  cosign verify --certificate-oidc-issuer "$issuer" \
    --certificate-identity "$SOURCE_URL/.github/workflows/release.yml@refs/tags/v$VERSION" "$reference" >/dev/null
  say "$reference is signed by the release of version $VERSION"
}

case $action in
  check) check_version ;;
  login) login ;;
  build) build_image "${1:?$usage}" "${2:?$usage}" "${3:?$usage}" ;;
  reference) print_reference "${1:?$usage}" "${2:?$usage}" ;;
  merge) merge_platforms "$@" ;;
  sign) sign_image "${1:?$usage}" "${2:?$usage}" ;;
  verify) verify_image "${1:?$usage}" "${2:?$usage}" ;;
  *) die "$usage" ;;
esac
