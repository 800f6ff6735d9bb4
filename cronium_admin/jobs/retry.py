"""A job's setting `retry`: its form, its checks, and the delay of each attempt. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError

from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.profiles.limits import Bound

MAX = Bound("max", 1, 20, "further attempts")
DELAY = Bound("delay_seconds", 0, 86_400, "seconds")
MAX_DELAY = Bound("max_delay_seconds", 1, 86_400, "seconds")
TOTAL = Bound("total_seconds", 1, 30 * 86_400, "seconds")
CONSTANT, EXPONENTIAL = "constant", "exponential"
STATUSES = ("failed", "timed_out", "errored", "lost")
DEFAULT_ON = ["failed", "timed_out", "errored"]  # a lost run may still be running
REASONS = (
    *("exit_code", "timeout", "oom", "output_limit", "disk_limit", "shutdown", "engine_restarted", "engine_error"),
    *("engine_unreachable", "address_pool_exhausted", "image_missing", "image_pull_failed", "image_pull_denied"),
    *("image_not_found", "image_pull_limited", "image_pull_stalled", "registry_unreachable", "image_unusable"),
    *("sidecar_unhealthy", "runtime_missing", "sandbox_drift", "container_gone", "secret_unavailable", "log_damaged"),
    *("internal_error", "not_delivered", "host_gone", "tampered"),
)
MAX_EXIT_CODES = 50
DEFAULTS: dict[str, Any] = {
    "delay_seconds": 60,
    "backoff": EXPONENTIAL,
    "max_delay_seconds": 3600,
    "total_seconds": None,
    "on": DEFAULT_ON,
    "exit_codes": [],
}
EXAMPLE = '{"max": 3, "delay_seconds": 60}'


def normalize_retry(value: Any) -> dict[str, Any] | None:
    """All fields of the setting, those that `value` omits with their defaults; None: no retries.

    Raises ValidationError; each of its messages begins with the field.
    """
    if value is None:
        return None
    setting, problems = check_retry(value)
    if problems:
        raise ValidationError([f"{name}: {text}" if name else text for name, text in problems.items()])
    return setting


def validate_retry(value: Any) -> None:
    normalize_retry(value)


def check_retry(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The setting with its defaults, and a problem by field; the field is "" for the whole value."""
    if not isinstance(value, Mapping):
        return {}, {"": f"Must be an object such as {EXAMPLE}, or null for no retries."}
    problems = {
        str(name)[:40]: f"Unknown field. The fields are {', '.join(['max', *DEFAULTS])}."
        for name in value
        if name not in DEFAULTS and name != "max"
    }
    setting = {"max": value.get("max"), **{name: value.get(name, default) for name, default in DEFAULTS.items()}}
    for bound in (MAX, DELAY, MAX_DELAY, TOTAL):
        if problem := _check_number(bound, setting[bound.field], is_optional=bound is TOTAL):
            problems[bound.field] = problem
    if setting["backoff"] not in (CONSTANT, EXPONENTIAL):
        problems["backoff"] = "Must be constant or exponential."
    if problem := _check_on(setting["on"]):
        problems["on"] = problem
    if problem := _check_exit_codes(setting["exit_codes"]):
        problems["exit_codes"] = problem
    if not problems and setting["max_delay_seconds"] < setting["delay_seconds"] and setting["backoff"] == EXPONENTIAL:
        low = f"Must be at least delay_seconds, {setting['delay_seconds']:,}."
        if "max_delay_seconds" in value:
            problems["max_delay_seconds"] = low
        setting["max_delay_seconds"] = setting["delay_seconds"]
    return setting, problems


def _check_number(bound: Bound, value: Any, *, is_optional: bool) -> str:
    if value is None and is_optional:
        return ""
    if isinstance(value, bool) or not isinstance(value, int):
        return f"Must be a whole number, {bound.low:,} to {bound.high:,}."
    try:
        bound.check_value(value)
    except ValidationError as error:
        return str(error.messages[0])
    return ""


def _check_on(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return 'Must be a list of statuses or reasons, such as ["failed", "timed_out"].'
    if "cancelled" in value:
        return "A cancelled run is never retried. Remove cancelled."
    known = (*STATUSES, *REASONS)
    for name in value:
        if not isinstance(name, str) or name not in known:
            statuses = ", ".join(STATUSES)
            return f"{str(name)[:40]!r} is no status or reason. The statuses are {statuses}; the docs list the reasons."
    if len(set(value)) < len(value):
        return "An entry is listed twice."
    return ""


def _check_exit_codes(value: Any) -> str:
    is_list = isinstance(value, list) and all(isinstance(code, int) and not isinstance(code, bool) for code in value)
    if not is_list or not all(0 < code <= 255 for code in value):
        return "Must be a list of numbers, 1 to 255, such as [75, 111]; an empty list means every exit code."
    if len(value) > MAX_EXIT_CODES:
        return f"{len(value)} exit codes; at most {MAX_EXIT_CODES} are allowed."
    if len(set(value)) < len(value):
        return "An exit code is listed twice."
    return ""


def is_retried(setting: Mapping[str, Any], status: str, reason: str, exit_code: int | None) -> bool:
    """Whether an attempt with this end is followed by another. `exit_codes` counts only where the script exited."""
    if status not in STATUSES or not {status, reason} & set(setting["on"]):
        return False
    return reason != "exit_code" or not setting["exit_codes"] or exit_code in setting["exit_codes"]


def compute_delay(setting: Mapping[str, Any], retry: int, seed: str) -> timedelta:
    """The time between the end of an attempt and the start of the retry number `retry`, counted from 1.

    Constant, or exponential with full jitter: anything between 0 and the doubled delay, at most the maximum. The
    jitter follows from `seed` and `retry` alone.
    """
    seconds = float(setting["delay_seconds"])
    if setting["backoff"] == CONSTANT:
        return timedelta(seconds=seconds)
    cap = min(seconds * 2 ** (retry - 1), float(setting["max_delay_seconds"]))
    digest = hashlib.sha256(f"{seed} {retry}".encode()).digest()
    return timedelta(seconds=round(cap * int.from_bytes(digest[:6]) / 2**48, 3))


def describe_retry(setting: Mapping[str, Any] | None) -> str:
    """In one line, such as "up to 3 further attempts, after 1 min"; None is "none"."""
    if setting is None:
        return "none"
    number = setting["max"]
    text = f"up to {number} further attempt{'' if number == 1 else 's'}"
    delay, longest = setting["delay_seconds"], setting["max_delay_seconds"]
    if not delay:
        return f"{text}, at once"
    if setting["backoff"] == CONSTANT or number == 1:
        within = "within " if setting["backoff"] == EXPONENTIAL else "after "
        return f"{text}, {within}{format_seconds(delay)}"
    last = min(longest, delay * 2 ** (number - 1))
    return f"{text}, within {format_seconds(delay)} at first, {format_seconds(last)} at last"
