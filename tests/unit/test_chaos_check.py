"""The chaos checker reports each kind of violation and accepts each allowed outcome."""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest

from tests.chaos.check import ENGINE, NOT_DELIVERED_LOG, Cancel, Evidence, Fault, Request, check_run, check_runs
from tests.chaos.evidence import find_violations
from tests.chaos.witness import NOT_COUNTED, WAIT_SECONDS, Start, Witness, create_preamble
from tests.engine.server import Server

CLAIMED, STARTED, COUNTED, FINISHED = 1000.0, 1002.0, 1002.3, 1010.0
REQUEST = Request(7, "run-7", lines=3)
ENDLESS = replace(REQUEST, sleep=600, timeout=150, is_cancelled=True)
ENGINE_FAULT = [Fault(ENGINE, 1005, 1007)]
TIMELINE = ("queued", "claimed", "started")
NOT_CANCELLED, CANCEL_SENT = Cancel(), Cancel(is_requested=True)
CANCEL_ACCEPTED = Cancel(is_requested=True, accepted_at=1004)


def format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def create_evidence(
    status: str = "succeeded",
    reason: str = "exit_code",
    *,
    log: bytes = REQUEST.log,
    starts: tuple[float, ...] = (COUNTED,),
    variable: int = 1,
    cancel: Cancel = NOT_CANCELLED,
    faults: Sequence[Fault] = (),
    kinds: tuple[str, ...] = TIMELINE,
    **run: Any,
) -> Evidence:
    """Evidence of a correct run on host b, changed by the arguments."""
    row = {
        "status": status,
        "reason": reason,
        "message": "",
        "exit_code": 0,
        "host": "b",
        "claimed_at": format_time(CLAIMED),
        "started_at": format_time(STARTED),
        "finished_at": format_time(FINISHED),
        "log_digest": hashlib.sha256(log).hexdigest(),
        "log_gaps": 0,
        "events": [{"kind": kind} for kind in (*kinds, status)],
    }
    return Evidence(row | run, log, variable, [Start(at, "container") for at in starts], cancel, faults)


def create_unstarted(status: str, reason: str, **changes: Any) -> Evidence:
    fields = {"started_at": None, "starts": (), "variable": 0, "log": b"", "log_digest": "", "exit_code": None}
    return create_evidence(status, reason, kinds=("queued",), **fields | changes)


FAILS = replace(REQUEST, code=3)
TIMES_OUT = replace(REQUEST, sleep=600, timeout=5)
UNDELIVERED = {"log": NOT_DELIVERED_LOG, "starts": (), "variable": 0}


@pytest.mark.parametrize(
    ("run_request", "evidence"),
    [
        (REQUEST, create_evidence()),
        (FAILS, create_evidence("failed", exit_code=3)),
        (TIMES_OUT, create_evidence("timed_out", "timeout", log=b"line 1\n")),
        (TIMES_OUT, create_evidence("timed_out", "timeout", log=b"", variable=0)),
        (ENDLESS, create_evidence("cancelled", "cancelled", log=b"line 1\n", cancel=CANCEL_ACCEPTED)),
        (ENDLESS, create_unstarted("cancelled", "cancelled", cancel=CANCEL_SENT)),
        (REQUEST, create_evidence(cancel=CANCEL_ACCEPTED)),  # the script ended at the same time
        (REQUEST, create_evidence("errored", "engine_restarted", log=b"", faults=ENGINE_FAULT)),
        (REQUEST, create_evidence("lost", "container_gone", log=b"", faults=ENGINE_FAULT, variable=0)),
        (REQUEST, create_unstarted("errored", "engine_unreachable", faults=ENGINE_FAULT)),
        (ENDLESS, create_evidence("errored", "engine_restarted", log=b"", faults=ENGINE_FAULT, cancel=CANCEL_ACCEPTED)),
        (REQUEST, create_evidence("errored", "not_delivered", faults=[Fault("b", 1003, 1003)], **UNDELIVERED)),
        (REQUEST, create_evidence(log=b"line 1\nline 3\nend\n", kinds=(*TIMELINE, "log_gap"), faults=ENGINE_FAULT)),
        (REQUEST, create_evidence(kinds=("queued", "claimed", "requeued", "claimed", "started", "adopted", "adopted"))),
    ],
)
def test_an_allowed_outcome_is_no_violation(run_request: Request, evidence: Evidence) -> None:
    assert check_run(run_request, evidence) == []


@pytest.mark.parametrize(
    ("message", "run_request", "evidence"),
    [
        ("stuck", REQUEST, create_evidence("running", "")),
        ("started 2 times", REQUEST, create_evidence(starts=(COUNTED, COUNTED + 3))),
        (
            "started 2 times",
            REQUEST,
            create_evidence("errored", "engine_restarted", starts=(COUNTED, 1006), faults=ENGINE_FAULT),
        ),
        ("started 0 times", REQUEST, create_evidence(starts=())),
        ("started 0 times", FAILS, create_evidence("failed", exit_code=3, starts=())),
        ("its variable counted 2", REQUEST, create_evidence(variable=2)),
        ("its variable counted 0", REQUEST, create_evidence(variable=0)),
        ("started before the row's started_at", REQUEST, create_evidence(starts=(CLAIMED,))),
        ("started before the row's started_at", ENDLESS, create_unstarted("cancelled", "cancelled", starts=(COUNTED,))),
        ("started after the end of the run", REQUEST, create_evidence(starts=(FINISHED + 5,))),
        ("started twice in its timeline", REQUEST, create_evidence(kinds=(*TIMELINE, "started"))),
        ("started twice in its timeline", REQUEST, create_evidence(kinds=(*TIMELINE, "requeued", "claimed"))),
        ("timeline does not match the status", REQUEST, create_evidence(kinds=(*TIMELINE, "failed"))),
        ("adopted before the start", REQUEST, create_evidence(kinds=("queued", "claimed", "adopted"))),
        ("unexpected outcome", REQUEST, create_evidence("failed", exit_code=143)),
        ("unexpected outcome", REQUEST, create_evidence("failed", exit_code=91)),
        ("unexpected outcome", REQUEST, create_evidence("failed", "output_limit")),
        ("unexpected outcome", FAILS, create_evidence("succeeded")),
        ("unexpected outcome", TIMES_OUT, create_evidence()),
        ("unexpected outcome", REQUEST, create_evidence("timed_out", "timeout")),
        (
            "unexpected outcome",
            TIMES_OUT,
            create_evidence("timed_out", "timeout", finished_at=format_time(STARTED + 2)),
        ),
        ("unexpected outcome", REQUEST, create_evidence("cancelled", "cancelled")),  # no cancel was requested
        ("unexpected outcome", ENDLESS, create_evidence("cancelled", "shutdown", cancel=CANCEL_SENT)),
        ("unexpected outcome", REQUEST, create_evidence("errored", "internal_error", faults=ENGINE_FAULT)),
        ("unexpected outcome", REQUEST, create_evidence("lost", "host_gone", faults=ENGINE_FAULT)),
        # Only a fault of the run's own engine, during the run, explains an engine outcome.
        ("unexpected outcome", REQUEST, create_evidence("errored", "engine_restarted")),
        (
            "unexpected outcome",
            REQUEST,
            create_evidence("errored", "engine_restarted", faults=[Fault(ENGINE, 990, 995)]),
        ),
        (
            "unexpected outcome",
            REQUEST,
            create_evidence("errored", "engine_restarted", faults=[Fault(ENGINE, 1015, 1017)]),
        ),
        (
            "unexpected outcome",
            REQUEST,
            create_evidence("errored", "engine_restarted", faults=[Fault("b", 1005, 1007)]),
        ),
        ("unexpected outcome", REQUEST, create_evidence("errored", "engine_restarted", faults=ENGINE_FAULT, host="a")),
        ("unexpected outcome", REQUEST, create_evidence("errored", "not_delivered", **UNDELIVERED)),
        (
            "unexpected outcome",
            REQUEST,
            create_evidence(
                "errored", "not_delivered", faults=[Fault("b", 1003, 1003)], **{**UNDELIVERED, "starts": (COUNTED,)}
            ),
        ),
        (
            "accepted but the run was not cancelled",
            ENDLESS,
            create_evidence("timed_out", "timeout", cancel=CANCEL_ACCEPTED),
        ),
        (
            "accepted but the run was not cancelled",
            replace(ENDLESS, sleep=120),
            create_evidence(cancel=CANCEL_ACCEPTED),
        ),
        (
            "accepted but the run was not cancelled",
            ENDLESS,
            create_unstarted("errored", "engine_unreachable", cancel=CANCEL_ACCEPTED),
        ),
        ("no gap is marked", REQUEST, create_evidence(log=b"line 1\n")),
        ("no gap is marked", FAILS, create_evidence("failed", exit_code=3, log=b"")),
        ("wrong log after 12 bytes", REQUEST, create_evidence(log=b"line 1\nline 3\nend\n")),
        ("wrong log after 12 bytes", REQUEST, create_evidence(log=b"line 1\nline 1\nline 2\nline 3\nend\n")),
        ("wrong log after 25 bytes", REQUEST, create_evidence(log=REQUEST.log + b"more\n")),
        ("wrong log after 0 bytes", ENDLESS, create_evidence("cancelled", "cancelled", log=b"x", cancel=CANCEL_SENT)),
        (
            "duplicate or unordered lines",
            REQUEST,
            create_evidence(log=b"line 1\nline 1\nend\n", kinds=(*TIMELINE, "log_gap"), faults=ENGINE_FAULT),
        ),
        ("the engine had no fault", REQUEST, create_evidence(kinds=(*TIMELINE, "log_gap"))),
        ("the engine had no fault", REQUEST, create_evidence(log_gaps=1)),
        (
            "the log contains more",
            REQUEST,
            create_evidence("errored", "not_delivered", faults=[Fault("b", 1003, 1003)], starts=(), variable=0),
        ),
        ("digest does not match", REQUEST, create_evidence(log_digest="0" * 64)),
        ("has no digest", REQUEST, create_evidence(log_digest="")),
    ],
)
def test_a_violation_is_reported(message: str, run_request: Request, evidence: Evidence) -> None:
    assert any(message in violation for violation in check_run(run_request, evidence))


def create_row(run_id: str, slug: str) -> dict[str, Any]:
    return {"id": run_id, "job": {"slug": slug}, "status": "succeeded"}


def test_each_requested_run_exists_once() -> None:
    requests = [Request(1, "one"), Request(2, "two")]
    rows = [create_row("one", "chaos-1"), create_row("two", "chaos-2")]
    assert check_runs(requests, [*rows, create_row("setup", "test-1")], ["setup"]) == []
    assert check_runs(requests, rows[:1], []) == ["run 2 two: lost"]
    assert check_runs(requests, [*rows, create_row("setup", "test-1")], []) == [
        "run setup of test-1 (succeeded): not requested"
    ]
    # A second run with the key of the first run.
    assert check_runs(requests, [*rows, create_row("three", "chaos-2")], []) == [
        "run three of chaos-2 (succeeded): not requested"
    ]
    assert "1 keys have 2 runs" in check_runs([requests[0], Request(1, "two")], rows, [])
    assert check_runs(requests, [*rows, rows[0]], []) == ["run one: listed 2 times"]
    assert check_runs(requests, [rows[0], create_row("two", "chaos-1")], []) != []


class Api:
    """Responds like Cronium with one correct run; `overrides` replaces responses by path."""

    def __init__(self, overrides: dict[str, httpx.Response]) -> None:
        self.client = httpx.Client(transport=httpx.MockTransport(self._respond), base_url="http://cronium")
        self._overrides = overrides

    def _respond(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        responses = {
            "/runs": httpx.Response(200, json={"items": [create_row("run-7", "chaos-7")], "next": None}),
            "/runs/run-7": httpx.Response(200, json=create_evidence().run),
            "/runs/run-7/logs.txt": httpx.Response(200, content=REQUEST.log),
            "/variables/shared/starts-7": httpx.Response(200, json={"value": 1}),
        }
        return self._overrides.get(path) or responses[path]

    def find_violations(self) -> list[str]:
        witness = Witness("test")
        witness._starts[7] = [Start(COUNTED, "container")]
        return find_violations(cast(Server, self), witness, [REQUEST], {}, (), ())


SERVER_ERROR = httpx.Response(500, text="it failed")
NOT_FOUND = httpx.Response(404, json={"code": "not_found", "detail": ""})


def test_a_readable_api_gives_no_violation() -> None:
    assert Api({}).find_violations() == []


@pytest.mark.parametrize("path", ["/runs", "/runs/run-7", "/runs/run-7/logs.txt", "/variables/shared/starts-7"])
def test_an_unexpected_response_is_a_violation(path: str) -> None:
    (violation,) = Api({path: SERVER_ERROR}).find_violations()
    assert "unexpected response" in violation
    assert "500 it failed" in violation


def test_only_a_missing_variable_counts_as_zero() -> None:
    path = "/variables/shared/starts-7"
    assert "its variable counted 0" in Api({path: NOT_FOUND}).find_violations()[0]
    assert "unexpected response" in Api({path: httpx.Response(404, json={"code": "other"})}).find_violations()[0]
    assert "unexpected response" in Api({path: httpx.Response(200, text="no JSON")}).find_violations()[0]


@pytest.fixture
def witness() -> Iterator[Witness]:
    witness = Witness(f"cronium_test_{os.getpid()}")
    yield witness
    witness.stop()


def start_script(witness: Witness, number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "-c", create_preamble(witness.mark, number) + "exit 7"], stderr=subprocess.PIPE)


def test_the_witness_counts_each_start_and_the_script_continues(witness: Witness) -> None:
    witness.start()
    for process in [start_script(witness, 1), start_script(witness, 2), start_script(witness, 2)]:
        assert process.communicate(timeout=20) == (None, b"")
        assert process.returncode == 7
    assert [len(witness.get_starts(number)) for number in (1, 2, 3)] == [1, 2, 0]
    assert witness.count_starts() == 3
    assert not witness.failure


def test_a_script_that_is_not_counted_does_not_continue(witness: Witness) -> None:
    script = create_preamble(witness.mark, 1).replace(f"sleep {WAIT_SECONDS}", "sleep 0.1")
    assert subprocess.run(["bash", "-c", script + "exit 7"], check=False).returncode == NOT_COUNTED
