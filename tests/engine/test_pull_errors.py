"""The engine's errors of failed pulls, in full and for both image stores: their classification rests on these texts.

The store of containerd is that of new installations from Docker Engine 29 on; the classic one is the others'. Measured
with Engine 20.10 and 28.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from tests.engine.registry import has_containerd_store, pull
from tests.engine.test_registry_rig import RIGHT, WRONG, need_password, need_token
from tests.fakes.registry import FakeRegistry, serve_fake_registry
from tests.fakes.small_image import build_small_image, compute_digest

Prepare = Callable[[FakeRegistry], Any]
DENIED = "requested access to the resource is denied"
LIMIT = "You have reached your pull rate limit."


def issue_expired_tokens(registry: FakeRegistry) -> None:
    registry.password, registry.is_bearer, registry.token_seconds = RIGHT["password"], True, 0


def fail(*arguments: Any, **keywords: Any) -> Prepare:
    return lambda registry: registry.fail(*arguments, **keywords)


HEAD = 'Head "http://HOST/v2/team/small/manifests/1": '
RESOLVE = 'failed to resolve reference "HOST/team/small:1": '
STATUS = f"unknown: {RESOLVE}unexpected status from HEAD request to http://HOST/v2/team/small/manifests/1: "
PRIVATE = "pull access denied for HOST/team/small, repository does not exist or may require 'docker login': denied: WHY"
LAYER = {"larger_than": 10_000}


@dataclass(frozen=True)
class Case:
    """`classic` and `containerd` are the errors with each of the engine's image stores."""

    name: str
    prepare: Prepare
    classic: str
    containerd: str
    auth: dict[str, str] | None = None


CASES = (
    Case(
        "no password",
        need_password,
        f"{HEAD}no basic auth credentials",
        f"{RESOLVE}pull access denied, repository does not exist or may require authorization: "
        "authorization failed: no basic auth credentials",
    ),
    Case(
        "wrong password",
        need_password,
        "unauthorized: authentication required",
        f"{STATUS}401 Unauthorized",
        WRONG,
    ),
    Case(
        "no token",
        need_token,
        f"{HEAD}unauthorized: authentication required",
        "error from registry: authentication required",
    ),
    Case(
        "token refused",
        need_token,
        f"{HEAD}unauthorized: authentication required",
        "error from registry: authentication required",
        WRONG,
    ),
    Case(
        "expired token",
        issue_expired_tokens,
        "unauthorized: authentication required",
        f"{STATUS}401 Unauthorized",
        RIGHT,
    ),
    Case(
        "rate limit",
        fail("manifests", 429, "TOOMANYREQUESTS", LIMIT),
        f"toomanyrequests: {LIMIT}",
        f"{STATUS}429 Too Many Requests",
    ),
    Case(
        "rate limit in plain text",
        fail("manifests", 429, message="Too Many Requests"),
        "error parsing HTTP 429 response body: invalid character 'T' looking for beginning of value: "
        '"Too Many Requests"',
        f"{STATUS}429 Too Many Requests",
    ),
    Case(
        "rate limit of a layer",
        fail("blobs", 429, "TOOMANYREQUESTS", LIMIT, **LAYER),
        f"toomanyrequests: {LIMIT}",
        f"error from registry: {LIMIT}",
    ),
    Case(
        "forbidden",
        fail("manifests", 403, "DENIED", "WHY", detail={"for": "tests"}),
        PRIVATE,
        f"{STATUS}403 Forbidden",
    ),
    Case("forbidden without detail", fail("manifests", 403, "DENIED", DENIED), "denied", f"{STATUS}403 Forbidden"),
    Case("forbidden layer", fail("blobs", 403, "DENIED", "WHY", **LAYER), PRIVATE, "error from registry: WHY"),
    Case(
        "broken",
        fail("manifests", 500, "UNKNOWN", "x"),
        "received unexpected HTTP status: 500 Internal Server Error",
        f"{STATUS}500 Internal Server Error",
    ),
    Case(
        "layer gone",
        fail("blobs", 404, "BLOB_UNKNOWN", "x", **LAYER),
        "unknown blob",
        "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor LAYER "
        "(application/vnd.docker.image.rootfs.diff.tar.gzip) from remote: not found",
    ),
    Case(
        "cut configuration",
        fail("blobs", cut=True),
        "error pulling image configuration: download failed after attempts=6: unexpected EOF",
        "short read: expected SIZE bytes but got SHORT: unexpected EOF",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_faults(docker_client: docker.APIClient, case: Case) -> None:
    with serve_fake_registry() as registry:
        image = registry.images["1"] = build_small_image(registry.host, padding=20_000)
        case.prepare(registry)
        error = case.containerd if has_containerd_store(docker_client) else case.classic
        size = len(image.config)
        names = {"HOST": registry.host, "LAYER": compute_digest(image.layers[-1]), "SIZE": size, "SHORT": size - 1}
        for name, value in names.items():
            error = error.replace(name, str(value))
        assert pull(docker_client, registry.name, "1", case.auth) == error


def test_unknown_names(docker_client: docker.APIClient) -> None:
    with serve_fake_registry() as registry:
        name, other = registry.name, f"{registry.host}/no/such"
        tag, repository = pull(docker_client, name, "9"), pull(docker_client, other, "1")
        registry.fail("manifests", 404, "MANIFEST_UNKNOWN", "manifest unknown")
        without_detail = pull(docker_client, name, "1")
        if has_containerd_store(docker_client):
            assert tag == f'failed to resolve reference "{name}:9": {name}:9: not found'
            assert repository == f'failed to resolve reference "{other}:1": {other}:1: not found'
            assert without_detail == f'failed to resolve reference "{name}:1": {name}:1: not found'
        else:
            assert tag == f"manifest for {name}:9 not found: manifest unknown: manifest unknown"
            assert repository == f"repository {other} not found: name unknown: repository name not known to registry"
            assert without_detail == "manifest unknown"
