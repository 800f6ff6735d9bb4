"""The chaos test's checker finds each kind of broken promise: a checker that can't fail is worth nothing."""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest

from tests.chaos.check import ENGINE, NOTHING_RUN, Asked, Cancel, Evidence, Harm, of_all, of_run
from tests.chaos.evidence import violations
from tests.chaos.witness import NOT_COUNTED, PATIENCE_SECONDS, Start, Witness, first_words
from tests.engine.server import Server

CLAIMED, STARTED, SEEN, FINISHED = 1000.0, 1002.0, 1002.3, 1010.0
ASKED = Asked(7, "run-7", lines=3)
ENDLESS = replace(ASKED, sleep=600, timeout=150, cancelled=True)
ENGINE_HURT = [Harm(ENGINE, 1005, 1007)]
TIMELINE = ("queued", "claimed", "started")
NOT_CANCELLED, CANCEL_SENT = Cancel(), Cancel(asked=True)
CANCEL_ACCEPTED = Cancel(asked=True, accepted_at=1004)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def evidence(
    status: str = "succeeded",
    reason: str = "exit_code",
    *,
    log: bytes = ASKED.log,
    starts: tuple[float, ...] = (SEEN,),
    variable: int = 1,
    cancel: Cancel = NOT_CANCELLED,
    harm: Sequence[Harm] = (),
    kinds: tuple[str, ...] = TIMELINE,
    **run: Any,
) -> Evidence:
    """Of a run on host b that ended well, but for what is given."""
    row = {
        "status": status,
        "reason": reason,
        "message": "",
        "exit_code": 0,
        "host": "b",
        "claimed_at": iso(CLAIMED),
        "started_at": iso(STARTED),
        "finished_at": iso(FINISHED),
        "log_digest": hashlib.sha256(log).hexdigest(),
        "log_gaps": 0,
        "events": [{"kind": kind} for kind in (*kinds, status)],
    }
    return Evidence(row | run, log, variable, [Start(at, "container") for at in starts], cancel, harm)


def unstarted(status: str, reason: str, **more: Any) -> Evidence:
    given = {"started_at": None, "starts": (), "variable": 0, "log": b"", "log_digest": "", "exit_code": None}
    return evidence(status, reason, kinds=("queued",), **given | more)


FAILS = replace(ASKED, code=3)
TIMES_OUT = replace(ASKED, sleep=600, timeout=5)
UNDELIVERED = {"log": NOTHING_RUN, "starts": (), "variable": 0}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (ASKED, evidence()),
        (FAILS, evidence("failed", exit_code=3)),
        (TIMES_OUT, evidence("timed_out", "timeout", log=b"line 1\n")),
        (TIMES_OUT, evidence("timed_out", "timeout", log=b"", variable=0)),
        (ENDLESS, evidence("cancelled", "cancelled", log=b"line 1\n", cancel=CANCEL_ACCEPTED)),
        (ENDLESS, unstarted("cancelled", "cancelled", cancel=CANCEL_SENT)),
        (ASKED, evidence(cancel=CANCEL_ACCEPTED)),  # its script ended just then
        (ASKED, evidence("errored", "engine_restarted", log=b"", harm=ENGINE_HURT)),
        (ASKED, evidence("lost", "container_gone", log=b"", harm=ENGINE_HURT, variable=0)),
        (ASKED, unstarted("errored", "engine_unreachable", harm=ENGINE_HURT)),
        (ENDLESS, evidence("errored", "engine_restarted", log=b"", harm=ENGINE_HURT, cancel=CANCEL_ACCEPTED)),
        (ASKED, evidence("errored", "not_delivered", harm=[Harm("b", 1003, 1003)], **UNDELIVERED)),
        (ASKED, evidence(log=b"line 1\nline 3\nend\n", kinds=(*TIMELINE, "log_gap"), harm=ENGINE_HURT)),
        (ASKED, evidence(kinds=("queued", "claimed", "requeued", "claimed", "started", "adopted", "adopted"))),
    ],
)
def test_what_may_be_is_no_violation(asked: Asked, kept: Evidence) -> None:
    assert of_run(asked, kept) == []


@pytest.mark.parametrize(
    ("words", "asked", "kept"),
    [
        ("stuck", ASKED, evidence("running", "")),
        ("started 2 times", ASKED, evidence(starts=(SEEN, SEEN + 3))),
        ("started 2 times", ASKED, evidence("errored", "engine_restarted", starts=(SEEN, 1006), harm=ENGINE_HURT)),
        ("started 0 times", ASKED, evidence(starts=())),
        ("started 0 times", FAILS, evidence("failed", exit_code=3, starts=())),
        ("counted 2 times by its variable", ASKED, evidence(variable=2)),
        ("counted 0 times by its variable", ASKED, evidence(variable=0)),
        ("began before its row said so", ASKED, evidence(starts=(CLAIMED,))),
        ("began before its row said so", ENDLESS, unstarted("cancelled", "cancelled", starts=(SEEN,))),
        ("began after its end", ASKED, evidence(starts=(FINISHED + 5,))),
        ("timeline begins twice", ASKED, evidence(kinds=(*TIMELINE, "started"))),
        ("timeline begins twice", ASKED, evidence(kinds=(*TIMELINE, "requeued", "claimed"))),
        ("timeline ends otherwise", ASKED, evidence(kinds=(*TIMELINE, "failed"))),
        ("adopted before it began", ASKED, evidence(kinds=("queued", "claimed", "adopted"))),
        ("ended otherwise", ASKED, evidence("failed", exit_code=143)),
        ("ended otherwise", ASKED, evidence("failed", exit_code=91)),
        ("ended otherwise", ASKED, evidence("failed", "output_limit")),
        ("ended otherwise", FAILS, evidence("succeeded")),
        ("ended otherwise", TIMES_OUT, evidence()),
        ("ended otherwise", ASKED, evidence("timed_out", "timeout")),
        ("ended otherwise", TIMES_OUT, evidence("timed_out", "timeout", finished_at=iso(STARTED + 2))),
        ("ended otherwise", ASKED, evidence("cancelled", "cancelled")),  # nobody asked for that
        ("ended otherwise", ENDLESS, evidence("cancelled", "shutdown", cancel=CANCEL_SENT)),
        ("ended otherwise", ASKED, evidence("errored", "internal_error", harm=ENGINE_HURT)),
        ("ended otherwise", ASKED, evidence("lost", "host_gone", harm=ENGINE_HURT)),
        # The engine may end what it held while it was hurt, and nothing else.
        ("ended otherwise", ASKED, evidence("errored", "engine_restarted")),
        ("ended otherwise", ASKED, evidence("errored", "engine_restarted", harm=[Harm(ENGINE, 990, 995)])),
        ("ended otherwise", ASKED, evidence("errored", "engine_restarted", harm=[Harm(ENGINE, 1015, 1017)])),
        ("ended otherwise", ASKED, evidence("errored", "engine_restarted", harm=[Harm("b", 1005, 1007)])),
        ("ended otherwise", ASKED, evidence("errored", "engine_restarted", harm=ENGINE_HURT, host="a")),
        ("ended otherwise", ASKED, evidence("errored", "not_delivered", **UNDELIVERED)),
        (
            "ended otherwise",
            ASKED,
            evidence("errored", "not_delivered", harm=[Harm("b", 1003, 1003)], **{**UNDELIVERED, "starts": (SEEN,)}),
        ),
        ("accepted and not obeyed", ENDLESS, evidence("timed_out", "timeout", cancel=CANCEL_ACCEPTED)),
        ("accepted and not obeyed", replace(ENDLESS, sleep=120), evidence(cancel=CANCEL_ACCEPTED)),
        ("accepted and not obeyed", ENDLESS, unstarted("errored", "engine_unreachable", cancel=CANCEL_ACCEPTED)),
        ("of its log's", ASKED, evidence(log=b"line 1\n")),
        ("of its log's", FAILS, evidence("failed", exit_code=3, log=b"")),
        ("goes wrong after 12 bytes", ASKED, evidence(log=b"line 1\nline 3\nend\n")),
        ("goes wrong after 12 bytes", ASKED, evidence(log=b"line 1\nline 1\nline 2\nline 3\nend\n")),
        ("goes wrong after 25 bytes", ASKED, evidence(log=ASKED.log + b"more\n")),
        ("goes wrong after 0 bytes", ENDLESS, evidence("cancelled", "cancelled", log=b"x", cancel=CANCEL_SENT)),
        (
            "double or out of order",
            ASKED,
            evidence(log=b"line 1\nline 1\nend\n", kinds=(*TIMELINE, "log_gap"), harm=ENGINE_HURT),
        ),
        ("said to be missing", ASKED, evidence(kinds=(*TIMELINE, "log_gap"))),
        ("said to be missing", ASKED, evidence(log_gaps=1)),
        (
            "more than that nothing was run",
            ASKED,
            evidence("errored", "not_delivered", harm=[Harm("b", 1003, 1003)], starts=(), variable=0),
        ),
        ("digest is not that", ASKED, evidence(log_digest="0" * 64)),
        ("has no digest", ASKED, evidence(log_digest="")),
    ],
)
def test_a_broken_promise_is_found(words: str, asked: Asked, kept: Evidence) -> None:
    assert any(words in found for found in of_run(asked, kept))


def row(run_id: str, slug: str) -> dict[str, Any]:
    return {"id": run_id, "job": {"slug": slug}, "status": "succeeded"}


def test_each_run_that_was_asked_for_is_there_once() -> None:
    asked = [Asked(1, "one"), Asked(2, "two")]
    rows = [row("one", "chaos-1"), row("two", "chaos-2")]
    assert of_all(asked, [*rows, row("proof", "test-1")], ["proof"]) == []
    assert of_all(asked, rows[:1], []) == ["run 2 two: lost"]
    assert of_all(asked, [*rows, row("proof", "test-1")], []) == [
        "run proof of test-1 (succeeded): nobody asked for it"
    ]
    # A second run under the key of the first.
    assert of_all(asked, [*rows, row("three", "chaos-2")], []) == [
        "run three of chaos-2 (succeeded): nobody asked for it"
    ]
    assert "2 runs were answered for 1 keys" in of_all([asked[0], Asked(1, "two")], rows, [])
    assert of_all(asked, [*rows, rows[0]], []) == ["run one: listed 2 times"]
    assert of_all(asked, [rows[0], row("two", "chaos-1")], []) != []


class Api:
    """Answers as Cronium does for one run that ended well, but for `wrong`, by path."""

    def __init__(self, wrong: dict[str, httpx.Response]) -> None:
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer), base_url="http://cronium")
        self._wrong = wrong

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        fine = {
            "/runs": httpx.Response(200, json={"items": [row("run-7", "chaos-7")], "next": None}),
            "/runs/run-7": httpx.Response(200, json=evidence().run),
            "/runs/run-7/logs.txt": httpx.Response(200, content=ASKED.log),
            "/variables/shared/starts-7": httpx.Response(200, json={"value": 1}),
        }
        return self._wrong.get(path) or fine[path]

    def violations(self) -> list[str]:
        witness = Witness("test")
        witness._starts[7] = [Start(SEEN, "container")]
        return violations(cast(Server, self), witness, [ASKED], {}, (), ())


BROKEN = httpx.Response(500, text="it failed")
NO_SUCH = httpx.Response(404, json={"code": "not_found", "detail": ""})


def test_what_can_be_read_is_judged() -> None:
    assert Api({}).violations() == []


@pytest.mark.parametrize("path", ["/runs", "/runs/run-7", "/runs/run-7/logs.txt", "/variables/shared/starts-7"])
def test_what_cannot_be_read_is_a_violation(path: str) -> None:
    (found,) = Api({path: BROKEN}).violations()
    assert "could not be read" in found
    assert "500 it failed" in found


def test_a_variable_that_is_not_there_counts_nothing_and_nothing_else_does() -> None:
    path = "/variables/shared/starts-7"
    assert "counted 0 times by its variable" in Api({path: NO_SUCH}).violations()[0]
    assert "could not be read" in Api({path: httpx.Response(404, json={"code": "other"})}).violations()[0]
    assert "could not be read" in Api({path: httpx.Response(200, text="no JSON")}).violations()[0]


@pytest.fixture
def witness() -> Iterator[Witness]:
    made = Witness(f"cronium_test_{os.getpid()}")
    yield made
    made.close()


def begin(witness: Witness, number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "-c", first_words(witness.mark, number) + "exit 7"], stderr=subprocess.PIPE)


def test_the_witness_counts_each_start_and_lets_it_go_on(witness: Witness) -> None:
    witness.start()
    for process in [begin(witness, 1), begin(witness, 2), begin(witness, 2)]:
        assert process.communicate(timeout=20) == (None, b"")
        assert process.returncode == 7
    assert [len(witness.starts(number)) for number in (1, 2, 3)] == [1, 2, 0]
    assert witness.total() == 3
    assert not witness.failed


def test_a_script_that_nobody_counts_does_not_go_on(witness: Witness) -> None:
    script = first_words(witness.mark, 1).replace(f"sleep {PATIENCE_SECONDS}", "sleep 0.1")
    assert subprocess.run(["bash", "-c", script + "exit 7"], check=False).returncode == NOT_COUNTED
