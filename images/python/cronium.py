"""What a job can ask of Cronium: its input, its output, variables, its condition, facts about the run.

Loading this module does nothing and works anywhere; a call outside a Cronium container raises CroniumError.
Standard library only.
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
TIMEOUT_SECONDS = 75.0  # the sidecar itself waits 60 for a worker that takes another's place
# A lost connection or a 5xx is tried again; a write keeps its Idempotency-Key, so it counts once.
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.1
_NO_BODY: Any = object()  # for None is a value
_slots = threading.BoundedSemaphore(32)  # of the sidecar's connections, however many threads there are


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
    _call("POST", "output", value, bare=True)


def context(field: str | None = None) -> Any:
    """Facts about this run and its job: all as a dict, or the one called `field`."""
    return _call("GET", "context" if field is None else "context?field=" + quote(field, safe=""))[0]


def event(field: str | None = None) -> Any:
    """The same by its older name."""
    return context(field)


def get_variable(key: str, default: Any = None) -> Any:
    """The variable's value, or `default` if there is no such variable. 0, False, "" and None are values."""
    value, missing = _call("GET", _variable(key))
    return default if missing else value


def set_variable(key: str, value: Any) -> None:
    """Keep a value that outlives the run."""
    _call("PUT", _variable(key), value, bare=True)


def increment_variable(key: str, n: float = 1) -> Any:
    """Add `n` in one step at the server and return the new number."""
    return _call("POST", _variable(key) + "/increment", {"amount": n})[0]


def set_condition(condition: bool) -> None:
    """Set the condition that follow-up rules read: True or False, nothing that only looks like it."""
    if not isinstance(condition, bool):
        raise CroniumError(f"The condition is True or False, not {type(condition).__name__}.")
    _call("POST", "condition", {"condition": condition})


def __getattr__(name: str) -> Any:
    """`cronium.aio`, the twin for asyncio; who doesn't ask for it doesn't pay for asyncio."""
    if name == "aio":
        import cronium_aio

        return cronium_aio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_guess(name)}")


def _guess(name: str) -> str:
    """The function that was meant by a name as other libraries or node have it."""
    import difflib
    import re

    calls = [each for each in __all__ if each.islower()]
    snake = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
    bare = re.sub(r"^(get|set|read|write)_", "", snake)
    meant = next((each for each in (snake, bare) if each in calls), None)
    close = difflib.get_close_matches(snake, calls, 1, 0.75)
    meant = meant or (close[0] if close else None)
    return f"; did you mean cronium.{meant}()?" if meant and not name.startswith("__") else ""


def _variable(key: str) -> str:
    """`key` is NAME, this job's own, or shared/NAME, which all jobs have in common."""
    return "variables/" + quote(key, safe="/")


def _setting(name: str) -> str:
    value = os.environ.get(name)
    if not value and os.environ.get("CRONIUM_NETWORK") == "none":
        raise CroniumError("This run has no network and so no runtime API: its job's network is 'none'.")
    if not value:
        raise CroniumError(f"{name} is not set: this call works only inside a Cronium container.")
    return value


def _encode(body: Any) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair: UTF-8 can't carry it, an escape can
        data = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise CroniumError(f"The value can't be written as JSON: {error}") from None
    if len(data) > MAX_BODY_BYTES:
        raise CroniumError(f"The value is {len(data)} bytes of JSON; {MAX_BODY_BYTES} are allowed.")
    return data


def _call(method: str, path: str, body: Any = _NO_BODY, bare: bool = False) -> tuple[Any, bool]:
    """One request, tried again while that can help. The answer's data, and whether there is no such variable.

    A `bare` body is the value itself, whatever it looks like, so that its own size is what counts.
    """
    import random  # only who calls pays for loading these
    import time
    import uuid

    base = urlsplit(_setting("CRONIUM_RUNTIME_API"))
    target = f"/executions/{_setting('CRONIUM_EXECUTION_ID')}/{path}"
    headers = {"Authorization": "Bearer " + _setting("CRONIUM_EXECUTION_TOKEN")}
    data = None
    if body is not _NO_BODY:
        data = _encode(body)
        headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    if bare:
        headers["X-Cronium-Body"] = "value"
    pause = FIRST_PAUSE_SECONDS
    for left in reversed(range(ATTEMPTS)):
        try:
            with _slots:
                return _exchange(base, method, target, data, headers)
        except _LostError as lost:
            if not left:
                raise CroniumError(f"Cronium can't be reached at {base.geturl()}: {lost}") from None
        except CroniumAPIError as error:
            if error.status < 500 or not left:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        pause *= 2
    raise AssertionError("unreachable")


class _LostError(Exception):
    """No whole answer came."""


def _exchange(
    base: SplitResult, method: str, target: str, data: bytes | None, headers: dict[str, str]
) -> tuple[Any, bool]:
    import http.client

    link = http.client.HTTPConnection(base.hostname or "runtime-api", base.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        link.request(method, target, body=data, headers=headers)
        response = link.getresponse()
        return _data(response.status, response.read()), response.headers.get("Cronium-Variable") == "missing"
    except TimeoutError:
        raise CroniumTimeoutError(f"Cronium did not answer within {TIMEOUT_SECONDS:.0f} s.") from None
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(str(error) or type(error).__name__) from None
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
