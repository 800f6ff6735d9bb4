"""The rules for a job's free-form fields: script, environment, tags, input."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from cronium_admin.core.config import MAX_KEEP_DAYS, MAX_KEEP_RUNS
from cronium_admin.core.env_names import find_env_name_problem, find_env_size_problem
from cronium_admin.core.json_text import JsonText
from cronium_admin.profiles.limits import Bound
from executor.run.script import find_problem

MAX_SCRIPT_BYTES = 1024 * 1024
MAX_INPUT_BYTES = 1024 * 1024
MAX_ENV_ENTRIES = 200
MAX_ENV_BYTES = 256 * 1024
MAX_TAGS = 20
MAX_SECRETS = 50
MAX_LAUNCH_ENV = 50
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_QUEUE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DEFAULT_QUEUE = "default"
KEEP_DAYS = Bound("log_keep_days", 0, MAX_KEEP_DAYS, "days")
KEEP_RUNS = Bound("log_keep_runs", 0, MAX_KEEP_RUNS, "runs")
RUN_KEEP_DAYS = Bound("run_keep_days", 0, MAX_KEEP_DAYS, "days")
RUN_KEEP_RUNS = Bound("run_keep_runs", 0, MAX_KEEP_RUNS, "runs")


def validate_first_line(language: str, script: str) -> None:
    """A script whose `#!` line names another of our languages was given the wrong one."""
    if problem := find_problem(language, script):
        raise ValidationError(problem, code="language")


def validate_script(value: str) -> None:
    if not value.replace("\ufeff", "").strip():
        raise ValidationError("The script is empty. Write at least one line.", code="empty")
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_SCRIPT_BYTES:
        raise ValidationError(
            f"The script has {size:,} bytes; at most {MAX_SCRIPT_BYTES:,} are allowed. Put data into the input, "
            "or into the image.",
            code="too_large",
        )
    if value.startswith(("\ufffe", "\xff\xfe", "\xfe\xff")) or 3 * value.count("\x00") > len(value):
        raise ValidationError("The script looks like a file in UTF-16. Save it as UTF-8, then send it.", code="utf16")
    _refuse_unstorable(value, "The script")


def _refuse_unstorable(value: str, what: str) -> None:
    if "\x00" in value:
        raise ValidationError(
            f"{what} holds a NUL byte (at character {value.index(chr(0)) + 1}). Remove it.", code="nul"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValidationError(f"{what} holds half a surrogate pair, which is no text. Remove it.", code="surrogate")


def validate_env(value: Any) -> None:
    """`value` must be an object of names to strings, within the bounds above."""
    if not isinstance(value, dict):
        raise ValidationError('Must be an object such as {"NAME": "value"}.', code="type")
    if len(value) > MAX_ENV_ENTRIES:
        raise ValidationError(f"{len(value):,} variables; at most {MAX_ENV_ENTRIES} are allowed.", code="too_many")
    total = 0
    for name, text in value.items():
        if problem := find_env_name_problem(str(name)):
            raise ValidationError(problem, code="name")
        if not isinstance(text, str):
            raise ValidationError(f"The value of {name} must be a string; put it in quotes.", code="type")
        _refuse_unstorable(text, f"The value of {name}")
        if problem := find_env_size_problem(str(name), text):
            raise ValidationError(problem, code="too_large")
        total += len(name) + len(text.encode())
    if total > MAX_ENV_BYTES:
        raise ValidationError(f"{total:,} bytes in all; at most {MAX_ENV_BYTES:,} are allowed.", code="too_large")


def validate_secrets(value: Any) -> None:
    """`value` must be a list of different variable names."""
    validate_names(value, "secrets", MAX_SECRETS)


def validate_names(value: Any, what: str = "names", most: int = MAX_LAUNCH_ENV) -> None:
    """`value` must be a list of different variable names, at most so many."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValidationError('Must be a list of names such as ["API_KEY"].', code="type")
    if len(value) > most:
        raise ValidationError(f"{len(value)} {what}; at most {most} are allowed.", code="too_many")
    if twice := sorted({name for name in value if value.count(name) > 1}):
        raise ValidationError(f"{twice[0][:40]} is there twice.", code="twice")
    for name in value:
        if problem := find_env_name_problem(name):
            raise ValidationError(problem, code="name")


def validate_apart(env: Mapping[str, Any], secrets: Iterable[str]) -> None:
    """A variable comes from one place: the environment or a secret."""
    if both := sorted(set(env) & set(secrets)):
        raise ValidationError(f"{both[0]} is also a variable of the environment. Keep one of the two.", code="both")


def validate_tags(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValidationError('Must be a list of words such as ["nightly", "billing"].', code="type")
    if len(value) > MAX_TAGS:
        raise ValidationError(f"{len(value)} tags; at most {MAX_TAGS} are allowed.", code="too_many")
    for tag in value:
        if not _TAG.fullmatch(tag):
            raise ValidationError(
                f"{tag[:40]!r} is not a tag: lower-case letters, digits, '.', '_' and '-', at most 40.",
                code="tag",
            )


def validate_queue(value: Any) -> None:
    if not isinstance(value, str) or not _QUEUE.fullmatch(value):
        raise ValidationError(
            f"{str(value)[:40]!r} is not a queue: lower-case letters, digits and '-', at most 40.", code="queue"
        )


def validate_keep_days(value: int) -> None:
    KEEP_DAYS.check_value(value)


def validate_keep_runs(value: int) -> None:
    KEEP_RUNS.check_value(value)


def validate_run_keep_days(value: int) -> None:
    RUN_KEEP_DAYS.check_value(value)


def validate_run_keep_runs(value: int) -> None:
    RUN_KEEP_RUNS.check_value(value)


def validate_input(value: Any) -> None:
    """Any JSON value, up to 1 MiB as text, that the database can keep."""
    validate_json(value, "The input", MAX_INPUT_BYTES)


def validate_json(value: Any, what: str, max_bytes: int) -> JsonText:
    """The text to keep. Refuse a value that is no JSON, is over `max_bytes` as text, or that a database can't keep."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise ValidationError(f"{what} holds NaN or Infinity, which JSON does not know.", code="json") from error
    except RecursionError as error:
        raise ValidationError(f"{what} is nested too deeply.", code="json") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise ValidationError(f"{what} has {size:,} bytes; at most {max_bytes:,} are allowed.", code="too_large")
    # A NUL is written \u0000; an even number of backslashes before it makes it the letters instead.
    if _ESCAPED_NUL.search(text):
        raise ValidationError(f"{what} holds a NUL character. Remove it.", code="nul")
    _refuse_unstorable(text, what)
    return JsonText(text)
