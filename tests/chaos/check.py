"""What must be true when all is quiet again, run by run. Pure: it judges what `evidence` has read."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.chaos.witness import Start, first_words

TERMINAL = {"succeeded", "failed", "timed_out", "cancelled", "errored", "lost"}
ENGINE = "engine b"  # as a `Harm`; the other host's engine is never hurt
# How a run may end because its engine was hurt while it was there.
BY_ENGINE = {("lost", "container_gone"), ("errored", "engine_restarted"), ("errored", "engine_unreachable")}
NOT_DELIVERED = ("errored", "not_delivered")  # its worker died just before, or while, it handed the script over
NOTHING_RUN = b"cronium: the script did not arrive, so nothing was run\n"
CANCEL_SECONDS = 75.0  # a worker is frozen for 40 s at most, and noticed and replaced within 45 s
CLOCK_SECONDS = 1.0  # between the database's clock and ours


def script(mark: str, number: int, lines: int, sleep: float, code: int) -> str:
    """Is counted outside Cronium, then by Cronium; says numbered lines, and ends as it was told."""
    return f"""{first_words(mark, number)}
cronium_increment_variable shared/starts-{number} >/dev/null || exit 90
for n in $(seq {lines}); do echo "line $n"; done
sleep {sleep}
echo "end"
exit {code}
"""


@dataclass(frozen=True)
class Asked:
    """A run that was asked for, and how it may end; times in seconds."""

    number: int
    run_id: str
    lines: int = 1
    code: int = 0
    sleep: float = 0
    timeout: float = 90
    cancelled: bool = False  # somebody will ask for that

    @property
    def slug(self) -> str:
        return f"chaos-{self.number}"

    @property
    def times_out(self) -> bool:
        return self.sleep > self.timeout

    @property
    def log(self) -> bytes:
        """All that it writes."""
        return b"".join(b"line %d\n" % n for n in range(1, self.lines + 1)) + b"end\n"


@dataclass(frozen=True)
class Harm:
    """What was hurt (`web`, `a`, `b`, ENGINE, ...), and from when until when; unix seconds."""

    what: str
    begin: float
    end: float


@dataclass
class Cancel:
    """`asked`: a request was sent; `accepted_at`: when its answer said that a live run's cancel was noted."""

    asked: bool = False
    accepted_at: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known of one run: `run` and `log` as the API tells, `variable` Cronium's own counter, `starts` what
    the witness saw."""

    run: Mapping[str, Any]
    log: bytes
    variable: int
    starts: Sequence[Start]
    cancel: Cancel
    harm: Sequence[Harm]

    @property
    def why(self) -> tuple[str, str]:
        return self.run["status"], self.run["reason"]

    def when(self, what: str) -> float:
        """`claimed`, `started` or `finished`; infinite for what did not happen."""
        told = self.run[f"{what}_at"]
        return datetime.fromisoformat(told).timestamp() if told else float("inf")

    def hurt(self, what: str) -> bool:
        """Whether it was, between the run's (last) claim and its end."""
        begin, end = self.when("claimed") - CLOCK_SECONDS, self.when("finished") + CLOCK_SECONDS
        return any(harm.what == what and harm.begin <= end and harm.end >= begin for harm in self.harm)

    @property
    def engine_hurt(self) -> bool:
        return bool(self.run["host"] == "b") and self.hurt(ENGINE)


def of_run(one: Asked, evidence: Evidence) -> list[str]:
    """One sentence for each promise that was broken."""
    if evidence.run["status"] not in TERMINAL:
        return ["stuck"]
    run = evidence.run
    wrong = [*_starts(evidence), *_timeline(evidence), *_log(one, evidence)]
    if not _may_end(one, evidence):
        wrong.append(f"it should have ended otherwise: exit {run['exit_code']}, {run['message']}")
    if _must_be_cancelled(one, evidence) and run["status"] != "cancelled" and not _excused(evidence):
        wrong.append("its cancel was accepted and not obeyed")
    return wrong


def of_all(asked: Iterable[Asked], listed: Iterable[Mapping[str, Any]], others: Iterable[str]) -> list[str]:
    """Each run that was asked for is there once, under its idempotency key, and no other but `others`, by id."""
    rows = list(listed)
    wanted = {one.run_id: one for one in asked}
    ids = Counter(str(row["id"]) for row in rows)
    wrong = [f"run {one.number} {one.run_id}: lost" for one in wanted.values() if one.run_id not in ids]
    wrong += [f"run {run_id}: listed {times} times" for run_id, times in ids.items() if times > 1]
    if len(numbers := {one.number for one in wanted.values()}) != len(wanted):
        wrong.append(f"{len(wanted)} runs were answered for {len(numbers)} keys")
    for row in rows:
        slug, known = (row["job"] or {}).get("slug"), wanted.get(str(row["id"]))
        if (known is None and row["id"] not in others) or (known is not None and known.slug != slug):
            wrong.append(f"run {row['id']} of {slug} ({row['status']}): nobody asked for it")
    return wrong


def _starts(evidence: Evidence) -> list[str]:
    wrong, times, status = [], len(evidence.starts), evidence.run["status"]
    needed = status in ("succeeded", "failed", "timed_out")
    if times > 1 or (needed and times != 1):
        where = ", ".join(f"{start.at:.1f} in {start.container[:12]}" for start in evidence.starts)
        wrong.append(f"started {times} times ({where})")
    if evidence.variable > times or (status in ("succeeded", "failed") and evidence.variable != 1):
        wrong.append(f"started {times} times, and counted {evidence.variable} times by its variable")
    if evidence.starts:
        if evidence.starts[0].at < evidence.when("started") - CLOCK_SECONDS:
            wrong.append("its script began before its row said so")
        if evidence.starts[-1].at > evidence.when("finished") + CLOCK_SECONDS:
            wrong.append("its script began after its end")
    return wrong


def _timeline(evidence: Evidence) -> list[str]:
    """It began at most once and was given to nobody anew after that; it ended once, as its status says."""
    kinds = [event["kind"] for event in evidence.run["events"]]
    if [kind for kind in kinds if kind in TERMINAL] != [evidence.run["status"]]:
        return [f"its timeline ends otherwise: {kinds}"]
    begun = kinds[kinds.index("started") + 1 :] if "started" in kinds else []
    if {"started", "claimed", "requeued"} & set(begun):
        return [f"its timeline begins twice: {kinds}"]
    if "adopted" in kinds and "adopted" not in begun:
        return [f"adopted before it began: {kinds}"]
    return []


def _log(one: Asked, evidence: Evidence) -> list[str]:
    run, text = evidence.run, evidence.log
    wrong = []
    marked = bool(run["log_gaps"]) or any(event["kind"] == "log_gap" for event in run["events"])
    if marked and not evidence.engine_hurt:
        wrong.append("a part of its log is said to be missing, though its engine was not hurt")
    if evidence.why == NOT_DELIVERED:
        if text != NOTHING_RUN:
            wrong.append(f"its log says more than that nothing was run: {text[:200]!r}")
    elif marked:
        numbers = [int(n) for n in re.findall(rb"^line (\d+)$", text, re.MULTILINE)]
        if numbers != sorted(set(numbers)):
            wrong.append(f"lines double or out of order: {numbers[:50]}")
    elif not one.log.startswith(text):
        same = next(
            (at for at, pair in enumerate(zip(one.log, text, strict=False)) if len(set(pair)) > 1), len(one.log)
        )
        wrong.append(f"its log goes wrong after {same} bytes: {text[max(0, same - 40) : same + 80]!r}")
    elif run["status"] in ("succeeded", "failed") and text != one.log:
        wrong.append(f"only {len(text)} of its log's {len(one.log)} bytes are there, and no mark")
    if run["log_digest"] and run["log_digest"] != hashlib.sha256(text).hexdigest():
        wrong.append("its digest is not that of its log")
    if not run["log_digest"] and (text or run["status"] in ("succeeded", "failed", "timed_out")):
        wrong.append("its log has no digest")
    return wrong


def _excused(evidence: Evidence) -> bool:
    """It ended because of what was done to its engine or its worker, and says so."""
    if evidence.why in BY_ENGINE:
        return evidence.engine_hurt
    if evidence.why == NOT_DELIVERED:
        return not evidence.starts and evidence.hurt(evidence.run["host"])
    return False


def _may_end(one: Asked, evidence: Evidence) -> bool:
    """Whether it ended as its script says, or as what was done to it allows."""
    status, run = evidence.run["status"], evidence.run
    if status == "cancelled":
        return evidence.why == ("cancelled", "cancelled") and evidence.cancel.asked
    if status == "timed_out":
        lasted = evidence.when("finished") - evidence.when("started")
        return one.times_out and lasted >= one.timeout - CLOCK_SECONDS
    if status in ("succeeded", "failed"):
        by_code = ("succeeded", 0) if one.code == 0 else ("failed", one.code)
        return not one.times_out and (status, run["exit_code"]) == by_code and run["reason"] == "exit_code"
    return _excused(evidence)


def _must_be_cancelled(one: Asked, evidence: Evidence) -> bool:
    """Its cancel was accepted well before its script's own end, or its script never began."""
    accepted = evidence.cancel.accepted_at
    if accepted is None:
        return False
    return accepted + CANCEL_SECONDS < evidence.when("started") + min(one.sleep, one.timeout)
