"""A job's setting `concurrency`: how many of its runs may run at once, all together or for each key. Pure."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from jmespath import compile as compile_expression
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from cronium_admin.core.json_text import format_exact
from cronium_admin.profiles.limits import Bound

LIMIT = Bound("limit", 1, 1000, "runs")
PRIORITY = Bound("priority", 1, 5, "levels")
DEFAULT_PRIORITY = 3
HIGHEST_PRIORITY = 5
PRIORITY_NAMES = {5: "5 (highest)", 4: "4 (high)", 3: "3 (normal)", 2: "2 (low)", 1: "1 (lowest)"}
MAX_EXPRESSION = 300  # characters
MAX_KEY = 100  # characters of a key that is stored as it is
COMMON_KEY = ""
_MAX_STEPS = 20_000  # of one evaluation
_MAX_COPIES = 16  # how often lists and objects that the expression makes may repeat the input
_EXAMPLE = '{"limit": 1}'


class WhenFull(models.TextChoices):
    """What happens to a launch while as many runs as the limit allows are live."""

    QUEUE = "queue", "The new run waits"
    SKIP = "skip", "The new run is not run"
    CANCEL_OLDEST = "cancel_oldest", "The oldest live run is cancelled"


_DEFAULTS: dict[str, Any] = {"limit": None, "key": "", "when_full": WhenFull.QUEUE.value}


class KeyFailed(ValueError):
    """The expression has no value for this input; the text says why."""


def validate_priority(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError("Must be a whole number, 1 (lowest) to 5.", code="type")
    PRIORITY.check_value(value)


def list_priorities(highest: int) -> list[tuple[int, str]]:
    """Number and name of the priorities up to `highest`, the highest first."""
    return [(number, name) for number, name in PRIORITY_NAMES.items() if number <= highest]


def validate_concurrency(value: Any) -> None:
    normalize_concurrency(value)


def normalize_concurrency(value: Any) -> dict[str, Any] | None:
    """All three fields of the setting; None: no limit. Raises ValidationError; each code is the name of a field."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValidationError(f"Must be an object such as {_EXAMPLE}, or null for no limit.", code="limit")
    if unknown := sorted(str(name)[:40] for name in value if name not in _DEFAULTS):
        raise ValidationError(f"{unknown[0]}: Unknown field. The fields are limit, key, when_full.", code="limit")
    setting = {**_DEFAULTS, **value}
    if setting["key"] is None:
        setting["key"] = ""
    checks = {"limit": _check_limit, "key": _check_expression, "when_full": _check_when_full}
    problems = [
        ValidationError(f"{name}: {text}", code=name)
        for name, check in checks.items()
        if (text := check(setting[name]))
    ]
    if problems:
        raise ValidationError(problems)
    return setting | {"key": setting["key"].strip()}


def _check_limit(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"Must be a whole number, {LIMIT.low} to {LIMIT.high:,}."
    try:
        LIMIT.check_value(value)
    except ValidationError as error:
        return str(error.messages[0])
    return ""


def _check_when_full(value: Any) -> str:
    return "" if value in WhenFull.values else f"Must be one of {', '.join(WhenFull.values)}."


def _check_expression(value: Any) -> str:
    if not isinstance(value, str):
        return "Must be a text, such as customer.id."
    if len(value) > MAX_EXPRESSION:
        return f"{len(value):,} characters; at most {MAX_EXPRESSION} are allowed."
    if any(ord(character) < 32 or "\ud800" <= character <= "\udfff" for character in value):
        return "Contains a control character. Remove it."
    try:
        if value.strip():
            _compile(value.strip())
    except KeyFailed as error:
        return str(error)
    return ""


@lru_cache(maxsize=256)
def _compile(expression: str) -> Any:
    try:
        tree = compile_expression(expression).parsed
    except (JMESPathError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())[:200]
        raise KeyFailed(f"This is not a JMESPath expression, such as customer.id: {text}") from None
    if unknown := _list_functions(tree) - Functions.FUNCTION_TABLE.keys():
        raise KeyFailed(f"JMESPath has no function {min(unknown)[:40]}().")
    if _count_copies(tree) > _MAX_COPIES:
        raise KeyFailed(f"It makes lists or objects of more than {_MAX_COPIES} parts. Make it simpler.")
    return tree


def _list_functions(node: Any) -> set[str]:
    own = {str(node["value"])} if node["type"] == "function_expression" else set()
    return own.union(*(_list_functions(child) for child in node.get("children", ()) if isinstance(child, dict)))


def _count_copies(node: Any) -> int:
    own = len(node["children"]) if node["type"].startswith("multi_select") else 1
    return own * prod(_count_copies(child) for child in node.get("children", ()) if isinstance(child, dict))


class _BoundedInterpreter(TreeInterpreter):
    """Stops after `_MAX_STEPS`, so that no expression over no input keeps a launch busy."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise KeyFailed("it takes too many steps for this input")
        return super().visit(node, *args, **kwargs)


def compute_key(setting: Mapping[str, Any] | None, run_input: Any) -> str:
    """The key of a run: the value of the expression over its input. Raises KeyFailed.

    Without an expression, and where the value is missing, null or an empty text, COMMON_KEY. A text is the key itself;
    every other value its JSON. A key that is long, or that not every database can store, is its digest.
    """
    if not setting or not setting["key"]:
        return COMMON_KEY
    try:
        value = _BoundedInterpreter().visit(_compile(setting["key"]), run_input)
        if value is None or value == "":
            return COMMON_KEY
        text = value if isinstance(value, str) else format_exact(value, sort_keys=True)
    except KeyFailed:
        raise
    except (
        JMESPathError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise KeyFailed(" ".join(str(error).split())[:200]) from None
    if len(text) <= MAX_KEY and text.isprintable():
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def describe_concurrency(setting: Mapping[str, Any] | None) -> str:
    """In one line, such as "at most 1 at once for each customer.id; the new run waits"; None is "no limit"."""
    if setting is None:
        return "no limit"
    each = f" for each {setting['key']}" if setting["key"] else ""
    label = WhenFull(setting["when_full"]).label
    return f"at most {setting['limit']:,} at once{each}; {label[0].lower()}{label[1:]}"
