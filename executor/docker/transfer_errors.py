"""From the engine's text about a failed pull or push to the type of `executor.docker.errors`, with the mend. Pure.

The engine reports all of them as text, and most with the status 500; the texts are those of engines 20.10 to 29.
"""

import re

from executor.docker import errors

_NOT_SENT = re.compile(r"[\r\n\0]+")
MAX_TEXT = 300  # characters of the engine's own text in a message


def explain_failure(text: str, reference: str, *, is_push: bool = False) -> errors.ImagePullFailed:
    """`text` is the engine's message."""
    said = _NOT_SENT.sub(" ", text).strip()[:MAX_TEXT].rstrip(". ")
    lower, what = said.lower(), f"{reference} could not be {'pushed' if is_push else 'pulled'}"
    for kind, patterns, mend in _CAUSES:
        if any(re.search(pattern, lower) for pattern in patterns):
            return kind(f"{what}: {mend} The engine said: {said}.")
    return errors.ImagePullFailed(f"{what}. The engine said: {said}.")


_CAUSES: tuple[tuple[type[errors.ImagePullFailed], tuple[str, ...], str], ...] = (
    (
        errors.ImagePullLimited,
        (r"toomanyrequests", r"\b429\b", r"rate limit"),
        "the registry limits the number of pulls. Wait, give the registry credentials on the Images page, or use a "
        "mirror.",
    ),
    (
        errors.ImageNotFound,
        (
            *(r"manifest.* unknown", r"manifest for .* not found", r"name[ _]unknown", r"repository name not known"),
            *(r"repository .* not found", r"failed to resolve reference .*: not found$", r"unknown blob"),
            r"from remote: not found$",
        ),
        "the registry has no such image. Check its name and tag.",
    ),
    (
        errors.ImagePullDenied,
        (
            *(r"pull access denied", r"unauthorized", r"authentication required", r"no basic auth credentials"),
            *(r"\bdenied\b", r"\b401\b", r"\b403\b", r"incorrect username or password"),
        ),
        "the registry refused the credentials, or the image does not exist. Check the registry's user and secret on "
        "the Images page, and that this user may read the image.",
    ),
    (
        errors.ImagePullFailed,
        (r"no space left", r"disk quota"),
        "the disk of the Docker Engine is full. Remove images that no job needs, or add space.",
    ),
    (
        errors.ImagePullFailed,
        (r"no matching manifest", r"does not match the (specified|detected) platform"),
        "the image does not exist for this host's processor. Choose one for it.",
    ),
    (
        errors.ImageRegistryUnreachable,
        (r"x509:", r"certificate", r"tls:"),
        "the Docker Engine does not trust the registry's certificate. Set the authority (CA) of the registry on the "
        "Images page, or put it into /etc/docker/certs.d on the host.",
    ),
    (
        errors.ImageRegistryUnreachable,
        (r"http response to https client",),
        "the registry speaks plain HTTP, and the Docker Engine expects HTTPS. Give the registry a certificate, or list "
        "it under insecure-registries in the engine's daemon.json.",
    ),
    (
        errors.ImageRegistryUnreachable,
        (
            *(r"no such host", r"server misbehaving", r"connection refused", r"i/o timeout", r"network is unreachable"),
            *(r"no route to host", r"handshake timeout", r"deadline exceeded", r"connection reset", r"dial tcp"),
            *(r"client\.timeout", r"temporary failure", r"\b5\d\d\b"),
        ),
        "the registry does not answer as it should, or can't be reached from the Docker Engine. Check its name, the "
        "network and the engine's proxy settings.",
    ),
    (
        errors.ImagePullFailed,
        (r"unexpected eof", r"\beof\b", r"filesystem layer verification failed", r"digest", r"corrupt"),
        "the transfer broke off or a layer arrived damaged. Run again; if it repeats, check the registry's storage.",
    ),
)
