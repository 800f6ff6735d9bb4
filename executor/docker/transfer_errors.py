"""From the engine's text about a failed pull, push or sign-in to the type of `executor.docker.errors`. Pure.

The error's message says how to mend it. The engine reports all causes as text, and most with the status 500; the texts
are those of engines 20.10 to 29.
"""

import re
from enum import StrEnum

from executor.docker import errors

_NOT_SENT = re.compile(r"[\r\n\0]+")
MAX_TEXT = 300  # characters of the engine's own text in a message


class TransferKind(StrEnum):
    """The value is the beginning of a failure's message."""

    PULL = "{} could not be pulled"
    PUSH = "{} could not be pushed"
    SIGN_IN = "The sign-in to {} failed"


def explain_failure(text: str, reference: str, kind: TransferKind = TransferKind.PULL) -> errors.ImagePullFailed:
    """`text` is the engine's message; `reference` an image, or the registry of a sign-in."""
    said = _NOT_SENT.sub(" ", text).strip()[:MAX_TEXT].rstrip(". ")
    lower, what = said.lower(), kind.value.format(reference)
    for cause, patterns, mend in _CAUSES:
        if any(re.search(pattern, lower) for pattern in patterns):
            if cause is errors.ImagePullDenied:
                mend = _DENIED[kind]
            return cause(f"{what}: {mend} The engine said: {said}.")
    return errors.ImagePullFailed(f"{what}. The engine said: {said}.")


_DENIED = {
    TransferKind.PULL: "the registry refused the credentials, or the image does not exist. Check the registry's user "
    "and secret on the Images page, and that this user may read the image.",
    TransferKind.PUSH: "the registry refused the credentials, or this user may not push there. Check the registry's "
    "user and secret on the Images page, and the user's rights in the registry.",
    TransferKind.SIGN_IN: "the registry refused the user or the secret. Enter the current ones on the Images page.",
}
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
        "",  # see _DENIED
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
