"""Collects the evidence for the checker: rows, logs and variables from the API, starts from the witness. Read-only.

An unexpected response is a violation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.chaos.check import Cancel, Evidence, Fault, Request, check_run, check_runs
from tests.chaos.witness import Witness
from tests.engine.server import Server


class UnexpectedResponse(Exception):
    pass


def _get_json(server: Server, path: str, default: Any = None, **query: Any) -> Any:
    """Returns the JSON of a 200, or `default`, if given, on a 404."""
    try:
        response = server.client.get(path, params=query)
        if response.status_code == 404 and default is not None and response.json()["code"] == "not_found":
            return default
        if response.status_code != 200:
            raise UnexpectedResponse(f"GET {path}: {response.status_code} {response.text[:200]}")
        return response.json()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise UnexpectedResponse(f"GET {path}: {error!r}") from error


def read_variable(server: Server, number: int) -> int:
    return int(_get_json(server, f"/variables/shared/starts-{number}", {"value": 0})["value"])


def list_runs(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = _get_json(server, "/runs", limit=200, after=after)
        rows += page["items"]
        if not (after := page["next"] or ""):
            return rows


def find_violations(
    server: Server,
    witness: Witness,
    requests: Sequence[Request],
    cancels: Mapping[int, Cancel],
    faults: Sequence[Fault],
    other_ids: Sequence[str],
) -> list[str]:
    """Returns a message for each violation. `other_ids` are runs that exist beside the requested runs."""
    violations: list[str] = []
    try:
        violations += check_runs(requests, list_runs(server), other_ids)
    except UnexpectedResponse as error:
        violations.append(f"unexpected response: {error}")
    for request in requests:
        name = f"run {request.number} {request.run_id}"
        try:
            run = _get_json(server, f"/runs/{request.run_id}")
            log = server.client.get(f"/runs/{request.run_id}/logs.txt")
            if log.status_code != 200:
                raise UnexpectedResponse(f"its log: {log.status_code} {log.text[:200]}")
            variable, starts = read_variable(server, request.number), witness.get_starts(request.number)
        except (UnexpectedResponse, httpx.HTTPError) as error:
            violations.append(f"{name}: unexpected response: {error!r}")
            continue
        evidence = Evidence(run, log.content, variable, starts, cancels.get(request.number, Cancel()), faults)
        violations += [
            f"{name} ({run['status']}/{run['reason']}): {message}" for message in check_run(request, evidence)
        ]
    return violations
