"""What a job can ask of Cronium: its input, its output, variables, its condition, facts about the run.

Loading this module does nothing and works anywhere; a call outside a Cronium container raises CroniumError.
Standard library only.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = [
    "CroniumAPIError",
    "CroniumError",
    "CroniumTimeoutError",
    "event",
    "get_variable",
    "increment_variable",
    "input",
    "output",
    "set_condition",
    "set_variable",
]

MAX_BODY_BYTES = 5 * 1024 * 1024
TIMEOUT_SECONDS = 30.0


class CroniumError(Exception):
    """Anything that went wrong between this job and Cronium."""


class CroniumAPIError(CroniumError):
    """Cronium answered no. `status` is the HTTP status, `code` a word such as NOT_FOUND."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code}, status {status})")
        self.status = status
        self.code = code
        self.message = message


class CroniumTimeoutError(CroniumError):
    """Cronium did not answer in time."""


def input() -> Any:
    """This run's input: any JSON value."""
    return _call("GET", "input")[0]


def output(value: Any) -> None:
    """Set the run's output: any value JSON can hold, up to 5 MiB of text. The last call wins."""
    _call("POST", "output", {"output": value})


def event(field: str | None = None) -> Any:
    """Facts about this run and its job: all as a dict, or the one called `field`."""
    return _call("GET", "context" if field is None else "context?field=" + quote(field, safe=""))[0]


def get_variable(key: str, default: Any = None) -> Any:
    """The variable's value, or `default` if there is no such variable. 0, False, "" and None are values."""
    value, missing = _call("GET", _variable(key))
    return default if missing else value


def set_variable(key: str, value: Any) -> None:
    """Keep a value that outlives the run."""
    _call("PUT", _variable(key), {"value": value})


def increment_variable(key: str, n: float = 1) -> Any:
    """Add `n` in one step at the server and return the new number."""
    return _call("POST", _variable(key) + "/increment", {"amount": n})[0]


def set_condition(condition: bool) -> None:
    """Set the condition that follow-up rules read."""
    _call("POST", "condition", {"condition": bool(condition)})


def _variable(key: str) -> str:
    return "variables/" + quote(key, safe="")


def _setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise CroniumError(f"{name} is not set: this call works only inside a Cronium container.")
    return value


def _encode(body: dict[str, Any] | None) -> bytes | None:
    if body is None:
        return None
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair: UTF-8 can't carry it, an escape can
        data = json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise CroniumError(f"The value can't be written as JSON: {error}") from None
    if len(data) > MAX_BODY_BYTES:
        raise CroniumError(f"The value is {len(data)} bytes of JSON; {MAX_BODY_BYTES} are allowed.")
    return data


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> tuple[Any, bool]:
    """One request. The answer's data, and whether the server said that there is no such variable."""
    import http.client  # only who calls pays for loading it

    base = urlsplit(_setting("CRONIUM_RUNTIME_API"))
    target = f"/executions/{_setting('CRONIUM_EXECUTION_ID')}/{path}"
    headers = {"Authorization": "Bearer " + _setting("CRONIUM_EXECUTION_TOKEN")}
    data = _encode(body)
    if data is not None:
        headers["Content-Type"] = "application/json"
    link = http.client.HTTPConnection(base.hostname or "runtime-api", base.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        link.request(method, target, body=data, headers=headers)
        response = link.getresponse()
        return _data(response.status, response.read()), response.headers.get("Cronium-Variable") == "missing"
    except TimeoutError:
        raise CroniumTimeoutError(f"Cronium did not answer within {TIMEOUT_SECONDS:.0f} s.") from None
    except (OSError, http.client.HTTPException) as error:
        raise CroniumError(f"Cronium can't be reached at {base.geturl()}: {error}") from None
    finally:
        link.close()


def _data(status: int, raw: bytes) -> Any:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CroniumAPIError(status, "BAD_ANSWER", "Cronium's answer is not JSON.")
    if status >= 400:
        raise CroniumAPIError(status, str(answer.get("error", "ERROR")), str(answer.get("message", "Refused.")))
    return answer.get("data")
