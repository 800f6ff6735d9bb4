"""The runtime API for python jobs: input, output, variables, condition and context of the run.

Can be imported anywhere; outside a Cronium container a call raises CroniumError. Standard library only.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

__all__ = [
    "CroniumAPIError",
    "CroniumError",
    "CroniumTimeoutError",
    "context",
    "event",
    "get_variable",
    "increment_variable",
    "input",
    "output",
    "set_condition",
    "set_variable",
]

MAX_BODY_BYTES = 5 * 1024 * 1024
TIMEOUT_SECONDS = 75.0  # the sidecar waits 60 s for the replacement of a dead worker
# Retries a lost connection and a 5xx; the same Idempotency-Key makes a write count once.
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.1
_NO_BODY: Any = object()  # None is a value
_slots = threading.BoundedSemaphore(32)  # limits the connections to the sidecar


class CroniumError(Exception):
    """Base class of all errors of this module."""


class CroniumAPIError(CroniumError):
    """Cronium refused the request. `status` is the HTTP status, `code` for example NOT_FOUND."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code}, status {status})")
        self.status = status
        self.code = code
        self.message = message


class CroniumTimeoutError(CroniumError):
    """Cronium did not answer in time."""


def input() -> Any:
    """Returns this run's input, any JSON value."""
    return _call_api("GET", "input")[0]


def output(value: Any) -> None:
    """Sets the run's output, any JSON value up to 5 MiB. The last call wins."""
    _call_api("POST", "output", value, is_bare=True)


def context(field: str | None = None) -> Any:
    """Returns the context of this run and its job as a dict, or one `field` of it."""
    return _call_api("GET", "context" if field is None else "context?field=" + quote(field, safe=""))[0]


def event(field: str | None = None) -> Any:
    """The older name of `context`."""
    return context(field)


def get_variable(key: str, default: Any = None) -> Any:
    """Returns the variable, or `default` if it does not exist. 0, False, "" and None are values."""
    value, missing = _call_api("GET", _build_path(key))
    return default if missing else value


def set_variable(key: str, value: Any) -> None:
    """Sets a variable; variables outlive the run."""
    _call_api("PUT", _build_path(key), value, is_bare=True)


def increment_variable(key: str, n: float = 1) -> Any:
    """Adds `n` atomically and returns the new number."""
    return _call_api("POST", _build_path(key) + "/increment", {"amount": n})[0]


def set_condition(condition: bool) -> None:
    """Sets the condition that follow-up rules read: True or False, no other value."""
    if not isinstance(condition, bool):
        raise CroniumError(f"The condition must be True or False, not {type(condition).__name__}.")
    _call_api("POST", "condition", {"condition": condition})


def __getattr__(name: str) -> Any:
    """Imports `cronium.aio` on first use: asyncio is slow to load."""
    if name == "aio":
        import cronium_aio

        return cronium_aio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_suggest_name(name)}")


def _suggest_name(name: str) -> str:
    import difflib
    import re

    functions = [call for call in __all__ if call.islower()]
    snake = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
    stem = re.sub(r"^(get|set|read|write)_", "", snake)
    matches = [call for call in (snake, stem) if call in functions]
    matches += difflib.get_close_matches(snake, functions, 1, 0.75)
    return f"; did you mean cronium.{matches[0]}()?" if matches and not name.startswith("__") else ""


def _build_path(key: str) -> str:
    """`key` is NAME (of this job) or shared/NAME (of all jobs)."""
    return "variables/" + quote(key, safe="/")


def _get_setting(name: str) -> str:
    value = os.environ.get(name)
    if not value and os.environ.get("CRONIUM_NETWORK") == "none":
        raise CroniumError("This run has no network and so no runtime API: its job's network is 'none'.")
    if not value:
        raise CroniumError(f"{name} is not set: this call works only inside a Cronium container.")
    return value


def _encode_json(body: Any) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8: use escapes
        data = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise CroniumError(f"The value can't be written as JSON: {error}") from None
    if len(data) > MAX_BODY_BYTES:
        raise CroniumError(f"The value is {len(data)} bytes of JSON; {MAX_BODY_BYTES} are allowed.")
    return data


def _call_api(method: str, path: str, body: Any = _NO_BODY, is_bare: bool = False) -> tuple[Any, bool]:
    """Sends a request, with retries. Returns the data and whether the variable is missing.

    With `is_bare` the body is the value itself, so that the size limit applies to the value.
    """
    import random  # imported on the first call
    import time
    import uuid

    base = urlsplit(_get_setting("CRONIUM_RUNTIME_API"))
    target = f"/executions/{_get_setting('CRONIUM_EXECUTION_ID')}/{path}"
    headers = {"Authorization": "Bearer " + _get_setting("CRONIUM_EXECUTION_TOKEN")}
    data = None
    if body is not _NO_BODY:
        data = _encode_json(body)
        headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    if is_bare:
        headers["X-Cronium-Body"] = "value"
    pause = FIRST_PAUSE_SECONDS
    for retries_left in reversed(range(ATTEMPTS)):
        try:
            with _slots:
                return _send_once(base, method, target, data, headers)
        except _ConnectionLostError as error:
            if not retries_left:
                raise CroniumError(f"Cronium can't be reached at {base.geturl()}: {error}") from None
        except CroniumAPIError as error:
            if error.status < 500 or not retries_left:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        pause *= 2
    raise AssertionError("unreachable")


class _ConnectionLostError(Exception):
    pass


def _send_once(
    base: SplitResult, method: str, target: str, data: bytes | None, headers: dict[str, str]
) -> tuple[Any, bool]:
    import http.client

    connection = http.client.HTTPConnection(base.hostname or "runtime-api", base.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, target, body=data, headers=headers)
        response = connection.getresponse()
        return _parse_data(response.status, response.read()), response.headers.get("Cronium-Variable") == "missing"
    except TimeoutError:
        raise CroniumTimeoutError(f"Cronium did not answer within {TIMEOUT_SECONDS:.0f} s.") from None
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLostError(str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _parse_data(status: int, raw: bytes) -> Any:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CroniumAPIError(status, "BAD_ANSWER", "Cronium's response is not JSON.")
    if status >= 400:
        raise CroniumAPIError(status, str(body.get("error", "ERROR")), str(body.get("message", "Refused.")))
    return body.get("data")
