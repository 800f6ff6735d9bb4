"""What must be true when all is quiet again, run by run. It reads the API, and changes nothing."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from tests.engine.server import TERMINAL, Server

# Counts its starts where no log is, says numbered lines, ends as it was told.
SCRIPT = """
cronium_increment_variable shared/starts-{number} >/dev/null || exit 90
for n in $(seq {lines}); do echo "line $n"; done
sleep {sleep}
echo "end"
exit {code}
"""
# Only the second host's engine is killed, so only there may a run end by that.
ENGINE_DIED = {("lost", "container_gone"), ("errored", "engine_restarted")}
NOT_DELIVERED = ("errored", "not_delivered")  # its worker died just before, or while, it handed the script over


@dataclass(frozen=True)
class Asked:
    """A run that was asked for, and how it may end."""

    number: int
    run_id: str
    lines: int
    code: int
    cancelled: bool
    times_out: bool


def violations(server: Server, asked: list[Asked]) -> list[str]:
    """One sentence for each promise that was broken."""
    found: list[str] = []
    for one in asked:
        run = server.get(one.run_id)
        found += [
            f"run {one.number} {one.run_id} ({run['status']}/{run['reason']}): {words}"
            for words in _of(server, one, run)
        ]
    return found


def _of(server: Server, one: Asked, run: dict[str, Any]) -> list[str]:
    if run["status"] not in TERMINAL:
        return ["stuck"]
    wrong = []
    answer = server.client.get(f"/variables/shared/starts-{one.number}")
    starts = answer.json()["value"] if answer.status_code == 200 else 0
    if starts > 1 or (run["status"] == "succeeded" and starts != 1):
        wrong.append(f"started {starts} times")
    if not _may_end(one, run, starts):
        wrong.append(f"it should have ended otherwise: exit {run['exit_code']}, {run['message']}")
    text = server.text(one.run_id)
    numbers = [int(n) for n in re.findall(rb"^line (\d+)$", text, re.MULTILINE)]
    marked = any(event["kind"] == "log_gap" for event in run["events"])
    if numbers != sorted(set(numbers)) or (numbers != list(range(1, len(numbers) + 1)) and not marked):
        wrong.append(f"lines double, out of order or with a hole: {numbers[:50]}")
    whole = (len(numbers), text[-4:]) == (one.lines, b"end\n")
    if run["status"] in ("succeeded", "failed") and not whole and not marked:
        wrong.append(f"{len(numbers)} of {one.lines} lines")
    if run["log_digest"] and run["log_digest"] != hashlib.sha256(text).hexdigest():
        wrong.append("its digest is not that of its log")
    return wrong


def _may_end(one: Asked, run: dict[str, Any], starts: int) -> bool:
    """Whether it ended as its script says, or as what was done to it allows."""
    status, why = run["status"], (run["status"], run["reason"])
    if why in ENGINE_DIED:
        return bool(run["host"] == "b")
    if why == NOT_DELIVERED:
        return starts == 0
    if status == "cancelled":
        return one.cancelled
    if status == "timed_out":
        return one.times_out
    if one.times_out and not one.cancelled:
        return False
    return (status, run["exit_code"]) == (("succeeded", 0) if one.code == 0 else ("failed", one.code))
