"""The causes of failed pulls, from the engine's texts (tests/engine/test_pull_errors.py measures them)."""

import pytest

from executor.docker import errors
from executor.docker.progress import TransferMeter, TransferProgress, find_aux, find_error, parse_events
from executor.docker.transfer_errors import TransferKind, explain_failure

NAME = "reg.example:5000/team/small"
HEAD = f'Head "http://{NAME}/manifests/1": '
RESOLVE = f'failed to resolve reference "{NAME}:1": '
STATUS = f"unknown: {RESOLVE}unexpected status from HEAD request to http://{NAME}/manifests/1: "

DENIED, LIMITED, MISSING = errors.ImagePullDenied, errors.ImagePullLimited, errors.ImageNotFound
AWAY, FAILED = errors.ImageRegistryUnreachable, errors.ImagePullFailed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{HEAD}no basic auth credentials", DENIED),
        (f"{RESOLVE}pull access denied, repository does not exist or may require authorization: x", DENIED),
        ("unauthorized: authentication required", DENIED),
        (f"{STATUS}401 Unauthorized", DENIED),
        ("error from registry: authentication required", DENIED),
        (f"{STATUS}403 Forbidden", DENIED),
        ("denied", DENIED),
        (f"pull access denied for {NAME}, repository does not exist or may require 'docker login': denied: x", DENIED),
        ("denied: requested access to the resource is denied", DENIED),
        ("toomanyrequests: You have reached your pull rate limit.", LIMITED),
        (f"{STATUS}429 Too Many Requests", LIMITED),
        ("error parsing HTTP 429 response body: invalid character 'T' looking for beginning of value", LIMITED),
        ("error from registry: You have reached your pull rate limit.", LIMITED),
        (f"manifest for {NAME}:9 not found: manifest unknown: manifest unknown", MISSING),
        (f"repository {NAME} not found: name unknown: repository name not known to registry", MISSING),
        (f"{RESOLVE}{NAME}:1: not found", MISSING),
        ("manifest unknown", MISSING),
        ("unknown blob", MISSING),
        (f"Get https://{NAME}/: dial tcp: lookup reg.example on 10.0.0.1:53: no such host", AWAY),
        (f"Get http://{NAME}/: dial tcp 127.0.0.1:5000: connect: connection refused", AWAY),
        ("received unexpected HTTP status: 500 Internal Server Error", AWAY),
        (f"Get https://{NAME}/: x509: certificate signed by unknown authority", AWAY),
        (f"Get https://{NAME}/: http: server gave HTTP response to HTTPS client", AWAY),
        (f"Get https://{NAME}/: net/http: request canceled (Client.Timeout exceeded while awaiting headers)", AWAY),
        ("error pulling image configuration: download failed after attempts=6: unexpected EOF", FAILED),
        ("short read: expected 300 bytes but got 299: unexpected EOF", FAILED),
        ("failed to register layer: Error processing tar file: write /x: no space left on device", FAILED),
        ("no matching manifest for linux/arm64 in the manifest list entries", FAILED),
        ("something new", FAILED),
    ],
)
def test_the_cause_is_found_in_the_engines_text(text: str, kind: type[errors.ImagePullFailed]) -> None:
    error = explain_failure(text, f"{NAME}:1")
    assert type(error) is kind
    assert str(error).startswith(f"{NAME}:1 could not be pulled")
    assert str(error).endswith(f"The engine said: {text.rstrip('.')}.")


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        (
            TransferKind.PUSH,
            f"{NAME} could not be pushed: the registry refused the credentials, or this user may not push",
        ),
        (TransferKind.SIGN_IN, f"The sign-in to {NAME} failed: the registry refused the user or the secret."),
    ],
)
def test_a_push_and_a_sign_in_are_not_called_a_pull(kind: TransferKind, beginning: str) -> None:
    text = str(explain_failure("login attempt failed with status: 401 Unauthorized", NAME, kind))
    assert text.startswith(beginning)
    assert "pulled" not in text


def test_a_long_text_is_cut_and_stays_one_line() -> None:
    text = str(explain_failure("x\n" * 1000, NAME))
    assert "\n" not in text
    assert len(text) < 500


def test_an_error_in_the_stream_is_the_details_message() -> None:
    assert find_error({"errorDetail": {"message": "why"}}) == "why"
    assert find_error({"error": "old", "errorDetail": {"message": "new"}}) == "new"
    assert find_error({"error": "old"}) == "old"
    assert find_error({"status": "fine", "errorDetail": {}}) == ""
    assert find_aux({"aux": {"Tag": "1", "Digest": "sha256:1"}}, "Digest") == "sha256:1"
    assert find_aux({"aux": {"ID": None}}, "ID") == ""
    assert find_aux({}, "ID") == ""


def test_entries_may_be_cut_anywhere() -> None:
    text = b'{"status": "a"}\r\n{"status": "\xc3\xa4"}\n\nbroken\n[1]\n{"status": "c"}'
    found = [{"status": "a"}, {"status": "ä"}, {"status": "c"}]
    for size in (1, 2, 3, 7, 1000):
        blocks = [text[start : start + size] for start in range(0, len(text), size)]
        assert list(parse_events(blocks)) == found


def test_layers_and_bytes_are_summed() -> None:
    meter = TransferMeter()
    for event in (
        {"status": "Pulling from team/small", "id": "1"},
        {"status": "Pulling fs layer", "id": "a", "progressDetail": {}},
        {"status": "Already exists", "id": "b", "progressDetail": {}},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 200}},
    ):
        meter.add(event)
    assert meter.read() == TransferProgress(50, 200, 1, 2)
    meter.add({"status": "Download complete", "id": "a", "progressDetail": {}})
    meter.add({"status": "Extracting", "id": "a", "progressDetail": {"current": 10, "total": 200}})
    assert meter.read() == TransferProgress(200, 200, 1, 2)
    meter.add({"status": "Pull complete", "id": "a"})
    digest = f"sha256:{'a' * 64}"
    meter.add({"status": f"Digest: {digest}"})
    assert (meter.read(), meter.digest) == (TransferProgress(200, 200, 2, 2), digest)


def test_a_push_reports_its_digest_in_both_image_stores() -> None:
    digest = f"sha256:{'b' * 64}"
    for event in (
        {"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest, "Size": 528}},
        {"status": f"1: digest: {digest} size: 528"},
    ):
        meter = TransferMeter()
        meter.add(event)
        assert meter.digest == digest
