"""Results of runs, verification of tokens, and the objects that garbage collection may remove: tables."""

import time
from collections.abc import Set
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from executor import naming
from executor.checks.gc import collect_leftovers, list_leftovers
from executor.docker import errors
from executor.docker.errors import EngineError
from executor.docker.models import ContainerState
from executor.run import outcome, tokens
from executor.run.outcome import CANCEL, LIMIT, SHUTDOWN, TIMEOUT, StopRequest
from executor.sandbox import options
from executor.spec import MB
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_spec

SPEC = make_spec(timeout_seconds=90.0, log_limit_bytes=50 * MB)


def state(code: int, oom: bool = False) -> ContainerState:
    return ContainerState("exited", code, oom, True, "")


EXITS: list[tuple[int, bool, str | None, str, str, str]] = [
    (0, False, None, "succeeded", "exit_code", "code 0"),
    (1, False, None, "failed", "exit_code", "code 1"),
    (125, False, None, "failed", "exit_code", "does not arrive"),
    (127, False, None, "failed", "exit_code", "not found"),
    (137, False, None, "failed", "exit_code", "SIGKILL"),
    (143, False, None, "failed", "exit_code", "SIGTERM"),
    (200, False, None, "failed", "exit_code", "code 200"),
    (137, True, None, "failed", "oom", "512 MB"),
    (0, True, None, "failed", "oom", "exited with 0"),
    (1, True, None, "failed", "oom", "512 MB"),
    (143, False, TIMEOUT, "timed_out", "timeout", "90 s"),
    (0, False, TIMEOUT, "timed_out", "timeout", "timeout"),
    (137, True, TIMEOUT, "timed_out", "timeout", "timeout"),
    (143, False, CANCEL, "cancelled", "cancelled", "stopped"),
    (0, False, CANCEL, "cancelled", "cancelled", "stopped"),
    (137, True, CANCEL, "cancelled", "cancelled", "stopped"),
    (143, False, SHUTDOWN, "cancelled", "shutdown", "Cronium itself"),
    (143, False, LIMIT, "failed", "output_limit", "50 MB"),
]


@pytest.mark.parametrize(("code", "oom", "stopped", "status", "reason", "words"), EXITS)
def test_every_exit(code: int, oom: bool, stopped: str | None, status: str, reason: str, words: str) -> None:
    result = outcome.build_exit_result(SPEC, state(code, oom), StopRequest(stopped) if stopped else None, 1234)
    assert (result.status, result.reason, result.exit_code) == (status, reason, code)
    assert words in result.message


@pytest.mark.parametrize(
    ("code", "started", "finished", "booted", "watched", "reason"),
    [
        (137, 100, 200, 210, 0, "engine_restarted"),  # ended by an engine that was stopped
        (143, 100, 211, 210, 0, "engine_restarted"),  # ended by one that was starting
        (143, 100, 200, 0, 0, "exit_code"),  # when it was started is not known
        (143, 100, 200, 50, 50, "exit_code"),  # it is the engine that started it
        (143, 100, 200, 5000, 0, "exit_code"),  # the engine was restarted long after the exit, unobserved
        (143, 100, 200, 5000, 50, "engine_restarted"),  # seen to run until then: the engine was away for long
        (143, 100, 200, 150, 150, "exit_code"),  # it has outlived a restart, and this engine was there at its end
        (3, 100, 200, 210, 50, "exit_code"),  # its own exit code
        (0, 100, 200, 210, 50, "exit_code"),
    ],
)
def test_an_engine_that_was_restarted_is_not_the_scripts_failure(
    code: int, started: float, finished: float, booted: float, watched: float, reason: str
) -> None:
    seen = ContainerState("exited", code, False, True, "", started_at=started, finished_at=finished)
    result = outcome.build_exit_result(SPEC, seen, None, 0, booted, watched)
    assert result.reason == reason
    assert (result.status == "errored") == (reason == "engine_restarted")
    assert outcome.build_exit_result(SPEC, seen, StopRequest(CANCEL), 0, booted, watched).status == "cancelled"


@pytest.mark.parametrize(
    ("status", "code", "stopped", "expected"),
    [
        ("removing", 137, None, True),
        ("dead", 137, None, True),
        ("exited", 137, None, False),  # killed, and left there
        ("removing", 3, None, False),  # it had exited by itself
        ("removing", 137, StopRequest(CANCEL), False),
    ],
)
def test_a_removal_by_others_is_told_from_a_kill(
    status: str, code: int, stopped: StopRequest | None, expected: bool
) -> None:
    seen = ContainerState(status, code, False, True, "")
    assert outcome.is_removed_by_others(seen, stopped) is expected


@pytest.mark.parametrize(
    ("status", "finished", "expected"),
    [("running", 5, True), ("running", 0, False), ("paused", 0, False), ("exited", 5, False)],
)
def test_what_runs_after_it_has_ended_was_started_again(status: str, finished: float, expected: bool) -> None:
    assert ContainerState(status, 0, False, True, "", finished_at=finished).is_restarted is expected


def test_dropped_bytes_are_told() -> None:
    assert "1,234 bytes" in outcome.build_exit_result(SPEC, state(143), StopRequest(LIMIT), 1234).message


@pytest.mark.parametrize("why", [CANCEL, SHUTDOWN])
def test_a_stop_before_the_script_has_no_exit_code(why: str) -> None:
    result = outcome.build_stop_result(SPEC, StopRequest(why), None)
    assert (result.status, result.exit_code) == ("cancelled", None)


@pytest.mark.parametrize("kind", [one for one in vars(errors).values() if isinstance(one, type)])
def test_every_error_of_the_engine_is_ours_and_has_a_reason(kind: type[EngineError]) -> None:
    result = outcome.build_error_result(kind("what, and the mend"))
    assert (result.status, result.message) == ("errored", "what, and the mend")
    assert result.reason == kind.reason
    assert result.reason.replace("_", "").isalpha()


def nobody(run_ids: Set[str]) -> Set[str]:
    """No run is active."""
    return frozenset()


# Tokens.

KEY = tokens.derive_signing_key("a secret of at least thirty-two characters")
OTHER = tokens.derive_signing_key("another secret of at least thirty-two characters")
PUBLIC = KEY.public_key()
RUN = "0b3c0d9e-5d7b-4a53-8a63-54d4f0b4d0f1"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"sub": RUN, "aud": tokens.AUDIENCE, "iss": tokens.ISSUER, "iat": now, "nbf": now, "exp": now + 60}
    return {name: value for name, value in (made | changes).items() if value is not None}


def signed(key: Any = KEY, algorithm: str = "EdDSA", kind: str | None = tokens.TYPE, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={"typ": kind})


def test_the_real_one_is_taken() -> None:
    tokens.verify_token(PUBLIC, tokens.mint_token(KEY, RUN, 60).text, RUN)
    tokens.verify_token(PUBLIC, signed(), RUN)


def hmac_with_public_key() -> str:
    """An HMAC with the public key as secret. PyJWT refuses to create it, so it is built by hand."""
    import base64
    import hashlib
    import hmac
    import json

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = part(json.dumps({"alg": "HS256", "typ": tokens.TYPE}).encode())
    body = head + b"." + part(json.dumps(claims()).encode())
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return (body + b"." + part(hmac.digest(pem, body, hashlib.sha256))).decode()


def altered() -> str:
    head, _, signature = signed().split(".")
    _, other, _ = signed(sub="another run").split(".")
    return f"{head}.{other}.{signature}"


FORGED = {
    "no signature": lambda: signed(key=None, algorithm="none"),
    "hmac with the public key": hmac_with_public_key,
    "another key": lambda: signed(key=OTHER),
    "altered": altered,
    "another run": lambda: signed(sub="7e1c0d9e-5d7b-4a53-8a63-54d4f0b4d0f1"),
    "no run": lambda: signed(sub=None),
    "another audience": lambda: signed(aud="cronium"),
    "no audience": lambda: signed(aud=None),
    "another issuer": lambda: signed(iss="somebody"),
    "expired": lambda: signed(exp=int(time.time()) - 1),
    "no end": lambda: signed(exp=None),
    "not yet": lambda: signed(nbf=int(time.time()) + 60),
    "another type": lambda: signed(kind="JWT"),
    "no type": lambda: signed(kind=None),
    "nothing": lambda: "",
    "words": lambda: "not.a.token",
    "a number": lambda: "1",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_one_is_refused(name: str) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        tokens.verify_token(PUBLIC, FORGED[name](), RUN)


@pytest.mark.parametrize(("timeout", "lasts"), [(1, 7200), (3600, 7200), (7200, 7800), (86_400, 87_000)])
def test_a_token_lasts_two_hours_or_longer_than_the_run(timeout: int, lasts: int) -> None:
    token = tokens.mint_token(KEY, RUN, timeout, now=1_000_000)
    assert token.expires_at == 1_000_000 + lasts
    assert len(token.sha256) == 64
    assert token.text not in token.sha256


def test_every_process_with_the_secret_signs_alike() -> None:
    again = tokens.derive_signing_key("a secret of at least thirty-two characters")
    tokens.verify_token(again.public_key(), tokens.mint_token(KEY, RUN, 60).text, RUN)


# The reaper.


def furnished(engine: FakeEngine, **whose: str) -> str:
    """A run's network and main container, of this instance and host."""
    from ipaddress import IPv4Network

    spec = make_spec(**whose)
    addresses = options.Addresses(IPv4Network((int(IPv4Network("10.215.0.0/16")[0]) + 8 * len(engine.networks), 29)))
    engine.create_network(options.build_network(spec, addresses))
    engine.create_container(naming.name_main(spec.run_id), options.build_main_container(spec, addresses, "local"))
    return spec.run_id


def test_the_reaper_takes_only_what_is_ours_and_not_held() -> None:
    engine = FakeEngine()
    left, held = furnished(engine), furnished(engine)
    foreign = [furnished(engine, instance="other"), furnished(engine, host="other")]
    gone = collect_leftovers(engine, "test-instance", "test-host", lambda ids: {held})
    assert [(one.kind, one.name, one.run_id, one.role) for one in gone] == [
        ("container", f"cronium-main-{left}", left, "main"),
        ("network", f"cronium-job-{left}", left, "network"),
    ]
    assert len(engine.left) == 2 * len([held, *foreign])
    assert collect_leftovers(engine, "test-instance", "test-host", lambda ids: {held}) == []
    engine.close()


def test_what_cannot_be_removed_waits_for_the_next_time() -> None:
    engine = FakeEngine()
    furnished(engine)
    engine.fail("remove_container", errors.EngineUnreachable("busy"))
    assert [one.kind for one in collect_leftovers(engine, "test-instance", "test-host", nobody)] == ["network"]
    assert [one.kind for one in list_leftovers(engine, "test-instance", "test-host", nobody)] == ["container"]
    assert [one.kind for one in collect_leftovers(engine, "test-instance", "test-host", nobody)] == ["container"]
    assert engine.left == []
    engine.close()


def test_an_unreachable_engine_is_said() -> None:
    engine = FakeEngine()
    engine.fail("list_own_objects", errors.EngineUnreachable("no answer"))
    with pytest.raises(errors.EngineUnreachable):
        collect_leftovers(engine, "test-instance", "test-host", nobody)
