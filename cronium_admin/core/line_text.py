"""Names and descriptions of one line: allowed characters, display, comparison and sorting. Pure.

Forbidden are characters that are invisible or change the display of the text around them: control and format
characters (among them those that change the text direction), blanks other than the space, and zero-width characters.
"""

import re
import unicodedata

MAX_CHECKED_CHARACTERS = 10_000  # characters
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Unicode's Default_Ignorable_Code_Point and other blank characters that the category does not show; and noncharacters.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\ufdd0-\ufdef"
    "\U000e0000-\U000e0fff]"
)
_VARIATION = "\ufe0e\ufe0f"  # text or emoji: allowed after a symbol
_KEYCAP = re.compile("[0-9#*]\ufe0f\u20e3")


def is_forbidden_character(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category in _FORBIDDEN_CATEGORIES
        or (category == "Zs" and character != " ")
        or _BLANK.match(character) is not None
        or ord(character) & 0xFFFE == 0xFFFE
    )


def find_line_problem(text: str) -> str | None:
    positions = _find_forbidden_positions(
        text[:MAX_CHECKED_CHARACTERS]
    )  # a longer text is too long for any name or description
    if not positions:
        return None
    position = positions[0]
    character = text[position]
    if character in "\n\r\v\f\x85\u2028\u2029":
        return f"Must be one line of text: character {position + 1} breaks it (U+{ord(character):04X}). Remove it."
    remedy = "Use a plain space." if unicodedata.category(character) == "Zs" else "Remove it."
    described = _describe_character(character)
    where = f"at character {position + 1}"
    return f"Contains {described} {where}, which is invisible or changes the display of other characters. {remedy}"


def escape_line(text: str) -> str:
    """`text` with every forbidden character replaced by its code point, such as [U+202E]."""
    positions = set(_find_forbidden_positions(text))
    if not positions:
        return text
    return "".join(
        f"[U+{ord(character):04X}]" if position in positions else character for position, character in enumerate(text)
    )


def fold_case(text: str) -> str:
    """`text` for comparison without case, in any script: Ä equals ä, ß equals ss."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())


def make_sort_key(text: str) -> bytes:
    # Without case and marks (Ä beside a). All databases sort bytes in the same order.
    letters = unicodedata.normalize("NFKD", fold_case(text))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).encode("utf-8", "replace")


def _find_forbidden_positions(text: str) -> list[int]:
    if text.isascii() and text.isprintable():
        return []
    allowed = {match.start() + 1 for match in _KEYCAP.finditer(text)}
    for position, character in enumerate(text):
        if character in _VARIATION and position and unicodedata.category(text[position - 1]).startswith("S"):
            allowed.add(position)
    return [
        position
        for position, character in enumerate(text)
        if position not in allowed and is_forbidden_character(character)
    ]


def _describe_character(character: str) -> str:
    number, name = f"U+{ord(character):04X}", unicodedata.name(character, "").lower()
    if unicodedata.category(character) == "Cs":
        return f"half a surrogate pair ({number})"
    if unicodedata.category(character) == "Cc":
        return f"the control character {number}"
    return f"the character {number} ({name})" if name else f"the character {number}"
