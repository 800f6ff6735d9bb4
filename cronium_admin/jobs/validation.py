"""Validators of a job's free-form fields: script, environment, tags, input."""

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
MAX_DESCRIPTION_CHARACTERS = 20_000
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
    if problem := find_problem(language, script):
        raise ValidationError(problem, code="language")


def validate_script(value: str) -> None:
    if not value.replace("\ufeff", "").strip():
        raise ValidationError("The script is empty. Write at least one line.", code="empty")
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_SCRIPT_BYTES:
        raise ValidationError(
            f"The script has {size:,} bytes; at most {MAX_SCRIPT_BYTES:,} are allowed. Move data to the input "
            "or into the image.",
            code="too_large",
        )
    if value.startswith(("\ufffe", "\xff\xfe", "\xfe\xff")) or 3 * value.count("\x00") > len(value):
        raise ValidationError("The script seems to be encoded as UTF-16. Save it as UTF-8.", code="utf16")
    _refuse_unstorable(value, "The script")


def _refuse_unstorable(value: str, label: str) -> None:
    if "\x00" in value:
        raise ValidationError(
            f"{label} contains a NUL byte (at character {value.index(chr(0)) + 1}). Remove it.", code="nul"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValidationError(
            f"{label} contains half a surrogate pair, which is not valid text. Remove it.", code="surrogate"
        )


def validate_env(value: Any) -> None:
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
    validate_names(value, "secrets", MAX_SECRETS)


def validate_names(value: Any, label: str = "names", most: int = MAX_LAUNCH_ENV) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValidationError('Must be a list of names such as ["API_KEY"].', code="type")
    if len(value) > most:
        raise ValidationError(f"{len(value)} {label}; at most {most} are allowed.", code="too_many")
    if twice := sorted({name for name in value if value.count(name) > 1}):
        raise ValidationError(f"{twice[0][:40]} is listed twice.", code="twice")
    for name in value:
        if problem := find_env_name_problem(name):
            raise ValidationError(problem, code="name")


def validate_apart(env: Mapping[str, Any], secrets: Iterable[str]) -> None:
    # A name must not be both an environment variable and a secret
    if both := sorted(set(env) & set(secrets)):
        raise ValidationError(f"{both[0]} is also an environment variable. Remove one of them.", code="both")


def is_tag(value: Any) -> bool:
    return isinstance(value, str) and _TAG.fullmatch(value) is not None


def validate_tags(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValidationError('Must be a list of words such as ["nightly", "billing"].', code="type")
    if len(value) > MAX_TAGS:
        raise ValidationError(f"{len(value)} tags; at most {MAX_TAGS} are allowed.", code="too_many")
    for tag in value:
        if not is_tag(tag):
            raise ValidationError(
                f"{tag[:40]!r} is not a valid tag: use up to 40 lower-case letters, digits, '.', '_' and '-'.",
                code="tag",
            )


def validate_description(value: str) -> None:
    if len(value) > MAX_DESCRIPTION_CHARACTERS:
        text = f"The description has {len(value):,} characters; at most {MAX_DESCRIPTION_CHARACTERS:,} are allowed."
        raise ValidationError(text, code="too_large")
    _refuse_unstorable(value, "The description")


def validate_queue(value: Any) -> None:
    if not isinstance(value, str) or not _QUEUE.fullmatch(value):
        raise ValidationError(
            f"{str(value)[:40]!r} is not a valid queue name: use up to 40 lower-case letters, digits and '-'.",
            code="queue",
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
    validate_json(value, "The input", MAX_INPUT_BYTES)


def validate_json(value: Any, label: str, max_bytes: int) -> JsonText:
    """Returns the JSON text to store. Refuses a value that is not JSON, is too large, or can't be stored."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise ValidationError(f"{label} contains NaN or Infinity, which are not valid JSON.", code="json") from error
    except RecursionError as error:
        raise ValidationError(f"{label} is nested too deeply.", code="json") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise ValidationError(f"{label} has {size:,} bytes; at most {max_bytes:,} are allowed.", code="too_large")
    # JSON text writes NUL as \u0000; after an odd number of further backslashes these are ordinary characters.
    if _ESCAPED_NUL.search(text):
        raise ValidationError(f"{label} contains a NUL character. Remove it.", code="nul")
    _refuse_unstorable(text, label)
    return JsonText(text)
