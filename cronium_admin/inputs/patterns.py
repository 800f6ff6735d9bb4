"""The keyword `pattern`, by RE2: its time is proportional to the length of the text, for every pattern."""

from functools import lru_cache
from typing import Any

import re2

MAX_PATTERN = 300  # characters
MAX_PROGRAM = 2000  # RE2 instructions


class BadPattern(ValueError):
    """The text says why the pattern can't be used."""


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Any:
    """Raises BadPattern."""
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"{len(text):,} characters; at most {MAX_PATTERN} are allowed")
    options = re2.Options()
    options.log_errors = False
    try:
        pattern = re2.compile(text.encode(), options)
    except UnicodeEncodeError:
        raise BadPattern("contains half a surrogate pair") from None
    except re2.error as error:
        raw = error.args[0] if error.args else ""
        reason = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
        raise BadPattern(f"not an RE2 expression ({reason[:100]}); RE2 has no look-around and no \\1") from None
    if pattern.programsize > MAX_PROGRAM:
        raise BadPattern("the expression is too large; use smaller repetitions")
    return pattern


def has_match(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(text.encode("utf-8", "replace")) is not None
