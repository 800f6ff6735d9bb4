"""A problem of a schema or of an input: where, and in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 60  # characters of a value in a sentence
MAX_NAMED = 8  # choices that a sentence lists


@dataclass(frozen=True)
class Problem:
    """`path` has dots between its parts, such as `properties.region.minimum`; empty: the whole value."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


def join_path(*parts: Any) -> str:
    return ".".join(str(part)[:60] for part in parts if part != "")


def show_value(value: Any) -> str:
    """The value as JSON would write it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…")
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def list_values(values: Iterable[Any]) -> str:
    """As "a, b, c and 5 more"."""
    texts = [value if isinstance(value, str) else show_value(value) for value in values]
    named = ", ".join(text[:MAX_SHOWN] for text in texts[:MAX_NAMED])
    return f"{named} and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else named
