"""Reads what the checker judges: rows, logs and variables through the API, starts from the witness. Changes nothing.

What can't be read is a violation of its own: an answer that was not understood must not pass for a good one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.chaos.check import Asked, Cancel, Evidence, Harm, of_all, of_run
from tests.chaos.witness import Witness
from tests.engine.server import Server


class Unreadable(Exception):
    """The API gave another answer than it must."""


def _read(server: Server, path: str, missing: Any = None, **query: Any) -> Any:
    """The JSON of a 200; `missing` for a 404 where one is expected."""
    try:
        answer = server.client.get(path, params=query)
        if answer.status_code == 404 and missing is not None and answer.json()["code"] == "not_found":
            return missing
        if answer.status_code != 200:
            raise Unreadable(f"GET {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unreadable(f"GET {path}: {error!r}") from error


def variable(server: Server, number: int) -> int:
    """How often the script of this number was counted by Cronium itself."""
    return int(_read(server, f"/variables/shared/starts-{number}", {"value": 0})["value"])


def every_run(server: Server) -> list[dict[str, Any]]:
    """All that there are."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = _read(server, "/runs", limit=200, after=after)
        rows += page["items"]
        if not (after := page["next"] or ""):
            return rows


def violations(
    server: Server,
    witness: Witness,
    asked: Sequence[Asked],
    cancels: Mapping[int, Cancel],
    harm: Sequence[Harm],
    others: Sequence[str],
) -> list[str]:
    """One sentence for each promise that was broken; `others` are the ids of runs that were started besides."""
    found: list[str] = []
    try:
        found += of_all(asked, every_run(server), others)
    except Unreadable as error:
        found.append(f"could not be read: {error}")
    for one in asked:
        name = f"run {one.number} {one.run_id}"
        try:
            run = _read(server, f"/runs/{one.run_id}")
            log = server.client.get(f"/runs/{one.run_id}/logs.txt")
            if log.status_code != 200:
                raise Unreadable(f"its log: {log.status_code} {log.text[:200]}")
            counted, starts = variable(server, one.number), witness.starts(one.number)
        except (Unreadable, httpx.HTTPError) as error:
            found.append(f"{name}: could not be read: {error!r}")
            continue
        evidence = Evidence(run, log.content, counted, starts, cancels.get(one.number, Cancel()), harm)
        found += [f"{name} ({run['status']}/{run['reason']}): {words}" for words in of_run(one, evidence)]
    return found
