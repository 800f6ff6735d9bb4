"""The visible part of a line that a program wrote for a terminal. Pure; the text may be hostile."""

import re
import unicodedata

MAX_LINE_CHARS = 4000  # characters of a line that are read
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
    "|(?<![^\x00-\u02ff])[\u200c\u200d]"
)
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")


def strip_control(line: str) -> str:
    """The text after the last carriage return, without colours, control characters and bidirectional marks. Each
    other blank becomes a space."""
    visible = line.rstrip("\r").rpartition("\r")[2][:MAX_LINE_CHARS]
    text = _ESCAPE_SEQUENCE.sub("", visible)
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if char.isspace() else char for char in text if char.isspace() or _is_visible(char))


def remove_escapes(text: str) -> str:
    """The text without the sequences that set colours or links."""
    return _ESCAPE_SEQUENCE.sub("", text)


def escape_hidden(text: str) -> str:
    """`text` with each character that is invisible or reorders other text replaced by its code, such as [U+202E].

    Tabs and newlines stay, and so do joiners after a letter of a script that has them. The log of a run shows the same
    characters as codes.
    """
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
