"""Checks the invariants of each run after the trial. Pure functions of the collected evidence."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.chaos.witness import Start, create_preamble

TERMINAL = {"succeeded", "failed", "timed_out", "cancelled", "errored", "lost"}
ENGINE = "engine b"  # target of a `Fault`; the engine of host a gets no faults
# Outcomes that are allowed after a fault of the run's engine.
ENGINE_OUTCOMES = {("lost", "container_gone"), ("errored", "engine_restarted"), ("errored", "engine_unreachable")}
NOT_DELIVERED = ("errored", "not_delivered")  # the worker died before or during the delivery of the script
NOT_DELIVERED_LOG = b"cronium: the script did not arrive, so nothing was run\n"
CANCEL_SECONDS = 75.0  # a worker is frozen for at most 40 s, and replaced within 45 s
CLOCK_SECONDS = 1.0  # tolerance between the clocks of the database and of this process


def create_script(mark: str, number: int, lines: int, sleep: float, code: int) -> str:
    """A script that is counted by the witness, then by a variable; prints numbered lines and exits with `code`."""
    return f"""{create_preamble(mark, number)}
cronium_increment_variable shared/starts-{number} >/dev/null || exit 90
for n in $(seq {lines}); do echo "line $n"; done
sleep {sleep}
echo "end"
exit {code}
"""


@dataclass(frozen=True)
class Request:
    """A requested run and its expected behaviour; times in seconds."""

    number: int
    run_id: str
    lines: int = 1
    code: int = 0
    sleep: float = 0
    timeout: float = 90
    is_cancelled: bool = False  # the trial requests a cancel

    @property
    def slug(self) -> str:
        return f"chaos-{self.number}"

    @property
    def times_out(self) -> bool:
        return self.sleep > self.timeout

    @property
    def log(self) -> bytes:
        return b"".join(b"line %d\n" % n for n in range(1, self.lines + 1)) + b"end\n"


@dataclass(frozen=True)
class Fault:
    """An injected fault; `target` is `web`, `a`, `b` or ENGINE; times in unix seconds."""

    target: str
    begin: float
    end: float


@dataclass
class Cancel:
    """`accepted_at` is the unix time of the response that accepted the cancel of a live run."""

    is_requested: bool = False
    accepted_at: float | None = None


@dataclass(frozen=True)
class Evidence:
    """Everything known of one run: `run` and `log` from the API, the counter `variable`, `starts` from the witness."""

    run: Mapping[str, Any]
    log: bytes
    variable: int
    starts: Sequence[Start]
    cancel: Cancel
    faults: Sequence[Fault]

    @property
    def outcome(self) -> tuple[str, str]:
        return self.run["status"], self.run["reason"]

    def get_time(self, step: str) -> float:
        """Unix time of `claimed`, `started` or `finished`; infinite if the step did not happen."""
        text = self.run[f"{step}_at"]
        return datetime.fromisoformat(text).timestamp() if text else float("inf")

    def has_fault(self, target: str) -> bool:
        """True if the target had a fault between the last claim and the end of the run."""
        begin, end = self.get_time("claimed") - CLOCK_SECONDS, self.get_time("finished") + CLOCK_SECONDS
        return any(fault.target == target and fault.begin <= end and fault.end >= begin for fault in self.faults)

    @property
    def has_engine_fault(self) -> bool:
        return bool(self.run["host"] == "b") and self.has_fault(ENGINE)


def check_run(request: Request, evidence: Evidence) -> list[str]:
    if evidence.run["status"] not in TERMINAL:
        return ["stuck"]
    run = evidence.run
    violations = [*_check_starts(evidence), *_check_timeline(evidence), *_check_log(request, evidence)]
    if not _is_allowed_outcome(request, evidence):
        violations.append(f"unexpected outcome: exit {run['exit_code']}, {run['message']}")
    if _must_be_cancelled(request, evidence) and run["status"] != "cancelled" and not _is_explained_by_fault(evidence):
        violations.append("the cancel was accepted but the run was not cancelled")
    return violations


def check_runs(requests: Iterable[Request], listed: Iterable[Mapping[str, Any]], other_ids: Iterable[str]) -> list[str]:
    """Each requested run exists once, under its idempotency key. No further runs exist, except `other_ids`."""
    rows = list(listed)
    requested = {request.run_id: request for request in requests}
    ids = Counter(str(row["id"]) for row in rows)
    violations = [
        f"run {request.number} {request.run_id}: lost" for request in requested.values() if request.run_id not in ids
    ]
    violations += [f"run {run_id}: listed {times} times" for run_id, times in ids.items() if times > 1]
    if len(numbers := {request.number for request in requested.values()}) != len(requested):
        violations.append(f"{len(numbers)} keys have {len(requested)} runs")
    for row in rows:
        slug, known = (row["job"] or {}).get("slug"), requested.get(str(row["id"]))
        if (known is None and row["id"] not in other_ids) or (known is not None and known.slug != slug):
            violations.append(f"run {row['id']} of {slug} ({row['status']}): not requested")
    return violations


def _check_starts(evidence: Evidence) -> list[str]:
    violations, count, status = [], len(evidence.starts), evidence.run["status"]
    must_start = status in ("succeeded", "failed", "timed_out")
    if count > 1 or (must_start and count != 1):
        where = ", ".join(f"{start.at:.1f} in {start.container[:12]}" for start in evidence.starts)
        violations.append(f"started {count} times ({where})")
    if evidence.variable > count or (status in ("succeeded", "failed") and evidence.variable != 1):
        violations.append(f"started {count} times, but its variable counted {evidence.variable}")
    if evidence.starts:
        if evidence.starts[0].at < evidence.get_time("started") - CLOCK_SECONDS:
            violations.append("the script started before the row's started_at")
        if evidence.starts[-1].at > evidence.get_time("finished") + CLOCK_SECONDS:
            violations.append("the script started after the end of the run")
    return violations


def _check_timeline(evidence: Evidence) -> list[str]:
    """The run started at most once, was not queued again after that, and ended once, with its status."""
    kinds = [event["kind"] for event in evidence.run["events"]]
    if [kind for kind in kinds if kind in TERMINAL] != [evidence.run["status"]]:
        return [f"the timeline does not match the status: {kinds}"]
    later_kinds = kinds[kinds.index("started") + 1 :] if "started" in kinds else []
    if {"started", "claimed", "requeued"} & set(later_kinds):
        return [f"the run started twice in its timeline: {kinds}"]
    if "adopted" in kinds and "adopted" not in later_kinds:
        return [f"adopted before the start: {kinds}"]
    return []


def _check_log(request: Request, evidence: Evidence) -> list[str]:
    run, text = evidence.run, evidence.log
    violations = []
    has_gap = bool(run["log_gaps"]) or any(event["kind"] == "log_gap" for event in run["events"])
    if has_gap and not evidence.has_engine_fault:
        violations.append("the log has a gap, but the engine had no fault")
    if evidence.outcome == NOT_DELIVERED:
        if text != NOT_DELIVERED_LOG:
            violations.append(f"the script was not delivered, but the log contains more: {text[:200]!r}")
    elif has_gap:
        numbers = [int(n) for n in re.findall(rb"^line (\d+)$", text, re.MULTILINE)]
        if numbers != sorted(set(numbers)):
            violations.append(f"duplicate or unordered lines: {numbers[:50]}")
    elif not request.log.startswith(text):
        matching = next(
            (at for at, pair in enumerate(zip(request.log, text, strict=False)) if len(set(pair)) > 1), len(request.log)
        )
        violations.append(f"wrong log after {matching} bytes: {text[max(0, matching - 40) : matching + 80]!r}")
    elif run["status"] in ("succeeded", "failed") and text != request.log:
        violations.append(f"only {len(text)} of {len(request.log)} bytes of the log, and no gap is marked")
    if run["log_digest"] and run["log_digest"] != hashlib.sha256(text).hexdigest():
        violations.append("the digest does not match the log")
    if not run["log_digest"] and (text or run["status"] in ("succeeded", "failed", "timed_out")):
        violations.append("the log has no digest")
    return violations


def _is_explained_by_fault(evidence: Evidence) -> bool:
    if evidence.outcome in ENGINE_OUTCOMES:
        return evidence.has_engine_fault
    if evidence.outcome == NOT_DELIVERED:
        return not evidence.starts and evidence.has_fault(evidence.run["host"])
    return False


def _is_allowed_outcome(request: Request, evidence: Evidence) -> bool:
    """True if the outcome follows from the script, a requested cancel or a fault."""
    status, run = evidence.run["status"], evidence.run
    if status == "cancelled":
        return evidence.outcome == ("cancelled", "cancelled") and evidence.cancel.is_requested
    if status == "timed_out":
        duration = evidence.get_time("finished") - evidence.get_time("started")
        return request.times_out and duration >= request.timeout - CLOCK_SECONDS
    if status in ("succeeded", "failed"):
        expected = ("succeeded", 0) if request.code == 0 else ("failed", request.code)
        return not request.times_out and (status, run["exit_code"]) == expected and run["reason"] == "exit_code"
    return _is_explained_by_fault(evidence)


def _must_be_cancelled(request: Request, evidence: Evidence) -> bool:
    """True if the cancel was accepted well before the script's end, or the script never started."""
    accepted = evidence.cancel.accepted_at
    if accepted is None:
        return False
    return accepted + CANCEL_SECONDS < evidence.get_time("started") + min(request.sleep, request.timeout)
