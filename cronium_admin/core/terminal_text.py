"""The visible part of a line that a program wrote for a terminal. Pure; the text may be hostile."""

import re
import unicodedata

MAX_LINE_CHARS = 4000  # characters of a line that are read
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")


def strip_control(line: str) -> str:
    """The text after the last carriage return, without colours, control characters and bidirectional marks. Each
    other blank becomes a space."""
    visible = line.rstrip("\r").rpartition("\r")[2][:MAX_LINE_CHARS]
    text = _ESCAPE_SEQUENCE.sub("", visible)
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if char.isspace() else char for char in text if char.isspace() or _is_visible(char))


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
