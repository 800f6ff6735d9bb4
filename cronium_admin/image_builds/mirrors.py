"""What a build gets from the settings: its egress list, its environment, and its secret files."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from django.conf import settings

from cronium_admin.core.build_mirrors import Mirror, parse_mirror, read_certificates

_DEBIAN = ("deb.debian.org:80", "deb.debian.org:443", "security.debian.org:80", "security.debian.org:443")
_ALPINE = ("dl-cdn.alpinelinux.org:80", "dl-cdn.alpinelinux.org:443")
# Public indexes that answer with addresses of other hosts.
_FILES_OF = {"pypi.org": "files.pythonhosted.org:443"}
# Names of the files that a build finds beside its script; `script` reads them.
CA_FILE, APT_LOGIN_FILE, NPM_CONFIG_FILE, APK_REPOSITORY_FILE = "ca.pem", "apt-auth", "npmrc", "apk-mirror"


@dataclass(frozen=True)
class BuildSecrets:
    """What only the payload of a build carries. `env` and `masked` are masked in its log."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    masked: tuple[str, ...] = field(default=(), repr=False)


def list_egress() -> list[str]:
    """The hosts and ports that builds may connect to."""
    config = settings.CONFIG
    patterns: dict[str, None] = {}
    for url, defaults in ((config.build_apt_mirror, _DEBIAN), (config.build_apk_mirror, _ALPINE)):
        patterns |= dict.fromkeys((parse_mirror(url).pattern,) if url else defaults)
    if config.image_debian_snapshot:  # the sources of own images, which no apt mirror replaces
        patterns[parse_mirror(config.image_debian_snapshot_mirror).pattern] = None
    for url in (config.build_pip_index_url, config.build_npm_registry):
        mirror = parse_mirror(url)
        patterns |= dict.fromkeys([mirror.pattern, *([_FILES_OF[mirror.host]] if mirror.host in _FILES_OF else [])])
    return list(patterns | dict.fromkeys(config.build_egress))


def build_public_env() -> dict[str, str]:
    """The variables of a build that everybody may see, who sees its run."""
    config = settings.CONFIG
    pip = parse_mirror(config.build_pip_index_url)
    values = {
        "BUILD_APT_MIRROR": parse_mirror(config.build_apt_mirror).url if config.build_apt_mirror else "",
        "BUILD_APK_MIRROR": parse_mirror(config.build_apk_mirror).url if config.build_apk_mirror else "",
        "PIP_INDEX_URL": pip.url,
        # pip refuses an index without TLS, which an administrator has chosen here.
        "PIP_TRUSTED_HOST": pip.pattern if pip.url.startswith("http:") else "",
        "NPM_CONFIG_REGISTRY": parse_mirror(config.build_npm_registry).url,
        "BUILD_KEEP_CA": "1" if config.build_keep_ca else "",
    }
    return {name: value for name, value in values.items() if value}


def build_secrets() -> BuildSecrets:
    """Raises OSError or ValueError if the file of certificates can't be read."""
    config = settings.CONFIG
    apt, apk, pip, npm = (
        parse_mirror(url) if url else Mirror("")
        for url in (
            *(config.build_apt_mirror, config.build_apk_mirror),
            *(config.build_pip_index_url, config.build_npm_registry),
        )
    )
    files: dict[str, str] = {}
    if config.build_ca_file:
        files[CA_FILE] = read_certificates(config.build_ca_file)
    if apt.has_login:
        machine = apt.url if apt.url.startswith("http:") else apt.url.partition("://")[2]
        files[APT_LOGIN_FILE] = f"machine {machine} login {apt.user} password {apt.password}\n"
    if apk.has_login:
        files[APK_REPOSITORY_FILE] = _insert_login(apk)
    if npm.has_login:
        location = npm.url.partition(":")[2]
        files[NPM_CONFIG_FILE] = f"{location}/:_auth={_encode_basic(npm)}\n"
    logins = [mirror for mirror in (apt, apk, pip, npm) if mirror.has_login]
    masked = {form for mirror in logins for form in _list_forms(mirror)}
    return BuildSecrets({"PIP_INDEX_URL": _insert_login(pip)} if pip.has_login else {}, files, tuple(sorted(masked)))


def _encode_basic(mirror: Mirror) -> str:
    return base64.b64encode(f"{mirror.user}:{mirror.password}".encode()).decode()


def _insert_login(mirror: Mirror) -> str:
    parts = urlsplit(mirror.url)
    login = f"{quote(mirror.user, safe='')}:{quote(mirror.password, safe='')}"
    return urlunsplit((parts.scheme, f"{login}@{parts.netloc}", parts.path, "", ""))


def _list_forms(mirror: Mirror) -> list[str]:
    # A token may be the user, with an empty password.
    secret = mirror.password or mirror.user
    return [secret, quote(secret, safe=""), _encode_basic(mirror)]
