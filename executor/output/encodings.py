"""Pure: the encoded forms in which tools print a value, for masking."""

import base64
import html
import json
import quopri
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote

MIN_CHARACTERS = 4  # characters; shorter values would match ordinary words
WRAPPED_AT = (64, 76)  # line lengths of wrapped base64
SHORTEST_WRAPPED = 8
# Unescaped characters of: Python's quote (two ways), encodeURIComponent, URLSearchParams, encodeURI.
URL_SAFE = ("", "/", "!'()*", "*", "!'()*;/?:@&=+$,#")
_HEX = re.compile(r"%[0-9A-F]{2}|\\u[0-9a-f]{4}")
_ANSI_C = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 39: "\\'", 92: "\\\\"}
# How HTML and XML writers escape a quote and an apostrophe; Handlebars and Go escape more characters.
_QUOTES_IN_MARKUP = (
    *((mark, "'") for mark in ('"', "&quot;")),
    *(("&quot;", mark) for mark in ("&#x27;", "&#39;", "&#039;", "&apos;")),
    ("&#34;", "&#39;"),
    ("&#x22;", "&#x27;"),
)
_MORE_IN_MARKUP: tuple[dict[str, str], ...] = (
    {},
    {"`": "&#x60;", "=": "&#x3D;"},
    {"`": "&#x60;", "=": "&#x3D;", "/": "&#x2F;"},
    {"+": "&#43;"},
)
_UNQUOTED = re.compile(r"([^\w@%+=:,./-])")


def can_mask(value: str) -> bool:
    """Whether the value, or one of its lines, is long enough to be masked in logs."""
    return any("\n" not in piece for piece in split_value(value))


def split_value(value: str) -> Iterator[str]:
    """The stripped value, and each line of a value with several lines; only parts that are long enough."""
    bare = value.strip()
    if len(bare) < MIN_CHARACTERS and "\n" not in bare:
        bare = value.strip("\r\n") if bare else ""
    for piece in dict.fromkeys([bare, *(line.strip() for line in bare.split("\n") if "\n" in bare)]):
        if len(piece) >= MIN_CHARACTERS:
            yield piece


def list_encoded_forms(value: str) -> set[bytes]:
    forms: set[bytes] = set()
    for number, piece in enumerate(split_value(value)):
        texts = (
            piece,
            *_encode_for_urls(piece),
            *_escape_for_code(piece),
            *_quote_for_shells(piece),
            *_escape_for_markup(piece),
            *_escape_for_files(piece),
        )
        forms |= {encoded.encode() for encoded in texts}
        if number == 0:
            forms |= {*_encode_base64(piece.encode()), *_encode_hex(piece.encode())}
    if forms:
        forms |= {part for text in (value, value.strip()) for part in _encode_wrapped_base64(text.encode())}
    return {form for form in forms if len(form) >= MIN_CHARACTERS and b"\n" not in form}


def _encode_hex(plain: bytes) -> Iterator[bytes]:
    yield plain.hex().encode()
    yield plain.hex().upper().encode()


def _encode_base64(plain: bytes) -> Iterator[bytes]:
    # Only the characters that depend on `plain` alone, after 0, 1 or 2 other bytes, in both alphabets.
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + plain)
        stable = whole[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
        yield stable
        yield stable.translate(bytes.maketrans(b"+/", b"-_"))


def _encode_wrapped_base64(plain: bytes) -> Iterator[bytes]:
    stable = base64.b64encode(plain)[: len(plain) * 8 // 6]
    for width in WRAPPED_AT:
        if len(stable) > width:
            parts = (stable[at : at + width] for at in range(0, len(stable), width))
            yield from (part for part in parts if len(part) >= SHORTEST_WRAPPED)


def _encode_for_urls(text: str) -> Iterator[str]:
    yield quote(quote(text, safe=""), safe="")
    for safe in URL_SAFE:
        encoded = quote(text, safe=safe)
        for form in (encoded, encoded.replace("%20", "+"), encoded.replace("~", "%7E").replace("%20", "+")):
            yield form
            yield _HEX.sub(lambda match: match[0].lower(), form)


def _escape_for_code(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        html = once.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        for form in (once, html, once.replace("/", "\\/"), json.dumps(once, ensure_ascii=ascii_only)[1:-1]):
            yield form
            yield _HEX.sub(lambda match: "\\u" + match[0][2:].upper(), form)
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(text.encode())[2:-1]
    yield _UNQUOTED.sub(r"\\\1", text)
    yield re.sub(r'([\\"$`])', r"\\\1", text)
    yield "".join(_ANSI_C.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in text.encode())


def _quote_for_shells(text: str) -> Iterator[str]:
    yield shlex.quote(text)[1:-1]
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")


def _escape_for_markup(text: str) -> Iterator[str]:
    if not any(mark in text for mark in "&<>\"'`+=/") and text.isascii():
        return
    once = html.escape(text, quote=False)
    forms = [once, once.replace("&gt;", ">"), html.escape(once, quote=False), html.escape(html.escape(text))]
    for quotation, apostrophe in _QUOTES_IN_MARKUP:
        for escapes in _MORE_IN_MARKUP:
            form = once
            for mark, written in escapes.items():
                form = form.replace(mark, written)
            forms.append(form.replace('"', quotation).replace("'", apostrophe))
    forms += ["".join(f"&#{ord(mark)};" if mark in "&<>\"'" else mark for mark in text)]
    forms += ["".join(f"&#x{ord(mark):x};" if mark in "&<>\"'" else mark for mark in text)]
    for form in dict.fromkeys(forms):
        yield form
        if not form.isascii():
            yield form.encode("ascii", "xmlcharrefreplace").decode()
            yield re.sub(r"[^\x00-\x7f]", lambda match: f"&#x{ord(match[0]):x};", form)
            yield re.sub(r"[^\x00-\x7f]", lambda match: f"&#x{ord(match[0]):X};", form)


def _escape_for_files(text: str) -> Iterator[str]:
    yield text.replace("'", "''")
    yield text.replace('"', '""')
    yield re.escape(text)
    yield quopri.encodestring(text.encode()).decode().replace("=\n", "")
