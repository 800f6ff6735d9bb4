"""Requests with odd values for every field of every form and route, which are read from the server.

Fields of forms come from the pages that contain them, fields and parameters of the API from its OpenAPI document, and
parameters of pages from the views' reads: a new field is covered without a change here.
"""

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import product
from typing import Any, TypeVar
from urllib.parse import quote_from_bytes
from zlib import crc32

import pytest
from django.db import DataError, connection, transaction
from django.http import HttpResponse, QueryDict
from django.test import Client
from django.urls import resolve

from cronium_admin.web.edge.server_log import ClientErrorFilter

Item = TypeVar("Item")
MEGABYTE = 1_000_000
_HANDS = 8
# The ordinary run takes one hand of every deal, `make chaos` takes the others.
each_hand = pytest.mark.parametrize(
    "hand", [pytest.param(hand, marks=[pytest.mark.chaos] if hand else []) for hand in range(_HANDS)]
)
# Texts that pass a form's own fields, and reach the code that parses or stores them.
DEEP_TEXTS: list[str] = [
    "a\0b",
    "\ud800",
    "\u202ename",
    "9" * 5000,
    str(2**63),
    "1e400",
    "0001-01-01T00:00:00+14:00",
    "[" * 9000,
]
TEXTS = [
    *(*DEEP_TEXTS, "", " ", "x" * MEGABYTE, "é" * MEGABYTE, "\n\r", "null", "a,b", "-1", "0", "1.5", "٣", str(2**31)),
    *(str(2**200), "NaN", "-Infinity", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-14:00", "2026-02-30", "99999d"),
]
# As JSON texts: json.dumps can't write all that a client can send.
DEEP_VALUES = [
    *('"a\\u0000b"', '"\\ud800"', '"\\u202e"', '"1e400"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
    *("null", "-1", "1e308", str(2**31), str(2**63), str(2**200), '["\\u0000"]', '{"A": "\\u0000"}', '{"a\\u0000": 1}'),
]
VALUES = [
    *(
        *DEEP_VALUES,
        "true",
        "0",
        "1.5",
        "1e400",
        "NaN",
        "-Infinity",
        "9" * 5000,
        '""',
        "[]",
        "{}",
        "[null]",
        "[" * 3000,
    ),
    *('{"a": {}}', '{"": null}', '["\\ud800"]', '{"A": "\\ud800"}', '{"\\ud800": 1}', '{"A": 1e400}', f"[{2**200}]"),
    *(
        '"' + "é" * MEGABYTE + '"',
        '["' + "x" * MEGABYTE + '"]',
        '{"A": "' + "é" * MEGABYTE + '"}',
        "[" * 90 + "]" * 90,
        '"9999-12-31"',
        '"NaN"',
    ),
]
_BODIES = [
    *(b"", b"null", b"[]", b'"x"', b"1", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 90_000, b'{"a": NaN}', b"{}"),
    *(b'{"name": "a", "name": 3}', b"name=%00&version=%ff&x", b"\0" * 2000, b"&" * 3000, b"--odd\r\n\r\n"),
    b'--odd\r\nContent-Disposition: form-data; name="name"; filename="\0"\r\n\r\n\xff\r\n--odd--',
]
_TYPES = [
    *("application/json", "application/json; charset=nope", "application/x-www-form-urlencoded; charset=nope"),
    *("application/x-www-form-urlencoded; charset=utf-16", "multipart/form-data; boundary=odd", "", "\xff/\xff;="),
    *("multipart/form-data", "multipart/form-data; boundary=\xff", "multipart/form-data; boundary=odd; charset=nope"),
    "application/x-www-form-urlencoded",
]
_PARTS = [b"\0", b"\xed\xa0\x80", b"\xff", b"\xe2\x80\xae", b"9" * 40, b"-1", b"../..", b"x" * 3000, b"a\r\nX: y"]
# Header values as they lie in WSGI's environment.
HEADERS = [
    "",
    "\xff\xfe",
    "x" * 9000,
    "\xe2\x80\xae",
    "a\0b",
    "-1",
    "9" * 400,
    "NaN",
    "*",
    '";\\',
    "=;,",
    "\xed\xa0\x80",
]
HEADER_NAMES = [
    *(
        "HTTP_HOST",
        "HTTP_AUTHORIZATION",
        "HTTP_COOKIE",
        "HTTP_X_CSRFTOKEN",
        "HTTP_ORIGIN",
        "HTTP_REFERER",
        "HTTP_RANGE",
    ),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH"),
    *(
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_REQUEST_ID",
        "HTTP_USER_AGENT",
    ),
    *("HTTP_HX_REQUEST", "HTTP_HX_CURRENT_URL", "HTTP_HX_TARGET", "CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_ADDR"),
]


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# Of pages of lists: cut, of another list, and with values that none has made.
CURSORS = [
    *("A", "é", "====", _cursor("["), _cursor("null"), _cursor("[" * 9000), _cursor("[1, 2, 3, 4]"), _cursor('[""]')),
    *(_cursor(f'["{at}", "{"0" * 32}"]') for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "x", "")),
    *(_cursor(f'["a\\u0000", {number}]') for number in (2**63, 2**200, -1, 1e300)),
    *(_cursor(f'["\\ud800", "{name}"]') for name in ("\\ud800", "é", "")),
    *(_cursor(f"[{number}]") for number in (2**63, "9" * 5000, "NaN", "true")),
]


def deal(items: list[Item], hand: int, *receiver: str) -> list[Item]:
    """The items of this hand for a field, form or route. All hands together are all items, each once.

    What a receiver gets depends on its name alone: not on the order of receivers, nor on those that are added.
    """
    first = (crc32(" ".join(receiver).encode()) + hand) % _HANDS
    return items[first::_HANDS]


class PlainClient(Client):
    """Calls the handler only: Django's client copies the context of every template."""

    def request(self, **request: Any) -> Any:
        return self.handler(self._base_environ(**request))


class Watch(logging.Handler):
    """The tracebacks logged since the last call of `take`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(ClientErrorFilter())
        self.tracebacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.tracebacks.append(repr(record.exc_info[1])[:200])

    def take(self) -> list[str]:
        tracebacks, self.tracebacks = self.tracebacks, []
        return tracebacks


@dataclass
class Sweep:
    """Sends requests in transactions that are rolled back, and records those with a 5xx or a traceback."""

    watch: Watch
    broken: list[str] = field(default_factory=list)

    def ask(self, send: Callable[..., HttpResponse], *args: Any) -> int:
        point = transaction.savepoint()
        try:
            status = int(send(*args).status_code)
        except Exception as error:  # noqa: BLE001 - reported with its request
            self.broken.append(f"raised {' '.join(repr(part)[:80] for part in args)} {error!r}")
            status = 0
        finally:
            transaction.set_rollback(False)  # a failed inner block marks the outer transaction as broken
            transaction.savepoint_rollback(point)
        tracebacks = self.watch.take()
        if status >= 500 or tracebacks:
            told = " ".join(repr(part)[:80] for part in args)
            self.broken.append(f"{status} {told} {' '.join(tracebacks)}")
        return status

    def check(self) -> None:
        assert not self.broken, f"{len(self.broken)} broken:\n" + "\n".join(self.broken[:30])


@contextmanager
def sweep() -> Iterator[Sweep]:
    watch = Watch()
    logging.getLogger().addHandler(watch)
    logging.disable(logging.INFO)
    try:
        yield Sweep(watch)
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger().removeHandler(watch)


def _refuse_nul(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    """Refuses NUL in parameters of a statement, as PostgreSQL does."""
    rows = params if many else [params]
    if any(isinstance(value, str) and "\0" in value for row in rows for value in row or ()):
        raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return execute(sql, params, many, context)


def as_strict_as_postgresql() -> AbstractContextManager[Any]:
    return connection.execute_wrapper(_refuse_nul)


@dataclass
class Form:
    """A form as a browser sends it: its URL and the values of its fields."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._text_of = ""
        self._select = ""
        self._elsewhere: dict[str, dict[str, str]] = {}  # fields before their form, by its id

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attributes = dict(pairs)
        if tag == "form":
            action = attributes.get("action") or self.url
            values = self._elsewhere.get(attributes.get("id") or "", {})
            self._form = Form(action, attributes.get("method", "get") or "get", dict(values))
            self.forms.append(self._form)
        form, name = self._form, attributes.get("name")
        if tag == "input" and form is None and name and (owner := attributes.get("form")):
            self._elsewhere.setdefault(owner, {})[name] = attributes.get("value") or ""
        if form is None or name in (None, "csrfmiddlewaretoken"):
            if tag == "option" and form and self._select and "selected" in attributes:
                form.values[self._select] = attributes.get("value") or ""
            return
        if tag in ("input", "button"):
            is_choice = attributes.get("type") in ("radio", "checkbox")
            if not is_choice or "checked" in attributes:
                form.values[name] = attributes.get("value") or ("on" if is_choice else "")
            else:
                form.values.setdefault(name, attributes.get("value") or "on")
        elif tag in ("textarea", "select"):
            form.values.setdefault(name, "")
            self._text_of, self._select = (name, "") if tag == "textarea" else ("", name)

    def handle_data(self, data: str) -> None:
        if self._form and self._text_of:
            self._form.values[self._text_of] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in ("textarea", "select"):
            self._text_of = self._select = ""


def forms_of(url: str, page: bytes) -> list[Form]:
    parser = _Forms(url)
    parser.feed(page.decode())
    return parser.forms


@contextmanager
def names_read() -> Iterator[set[str]]:
    """Records the parameters that views read from a query or a form."""
    names: set[str] = set()
    originals = {name: getattr(QueryDict, name) for name in ("get", "getlist", "__getitem__", "__contains__")}

    def recording(original: Any) -> Any:
        def read(self: QueryDict, key: Any, *rest: Any, **more: Any) -> Any:
            names.add(str(key))
            return original(self, key, *rest, **more)

        return read

    for name, original in originals.items():
        setattr(QueryDict, name, recording(original))
    try:
        yield names
    finally:
        for name, original in originals.items():
            setattr(QueryDict, name, original)


def typed(values: dict[str, str], upload: str = "") -> tuple[bytes, str]:
    """The body as a browser encodes it; `upload` is a field that is sent as a file."""
    parts = [_part(name, encode(text)) for name, text in values.items()]
    if upload:
        parts.append(_part(upload, b"\xff", b'; filename="x"'))
    return b"".join(parts) + b"--odd--\r\n", "multipart/form-data; boundary=odd"


def _part(name: str, content: bytes, rest: bytes = b"") -> bytes:
    return (
        b'--odd\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"'
        + rest
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def queries(name: str, texts: list[str]) -> Iterator[str]:
    """Query strings, without texts that are too long for any server."""
    for text in (*texts, *(CURSORS if name == "after" else ())):
        if len(text) < MEGABYTE:
            yield f"{name}={quote_from_bytes(encode(text))}"


def body(values: dict[str, Any], odd: dict[str, str]) -> bytes:
    """The JSON of `values`, with the texts of `odd` unchanged."""
    texts = {name: json.dumps(value) for name, value in values.items()} | odd
    return ("{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}").encode()


def every_body() -> list[tuple[bytes, str]]:
    return list(product(_BODIES, _TYPES))


def some_bodies() -> list[tuple[bytes, str]]:
    return [*((body, _TYPES[0]) for body in _BODIES), *((b"name=a", type_) for type_ in _TYPES[1:])]


def odd_paths(path: str) -> Iterator[str]:
    """The URL with each of its parameters replaced by each odd value."""
    parts, given = path.split("/"), {str(value) for value in resolve(path).kwargs.values()}
    for place in range(1, len(parts)):
        if parts[place] in given:
            for part in _PARTS:
                yield "/".join([*parts[:place], quote_from_bytes(part, safe=""), *parts[place + 1 :]])


@dataclass
class Operation:
    """One method of one path of the OpenAPI document."""

    method: str
    path: str
    fields: list[str]
    queries: list[str]
    headers: list[str]

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", self.path.removeprefix("/api/v1"))
        return self.method == method and re.fullmatch(pattern, path) is not None


def operations(schema: dict[str, Any]) -> list[Operation]:
    found = []
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            names = re.findall(r"#/components/schemas/(\w+)", json.dumps(described.get("requestBody", {})))
            fields = [name for one in names for name in schema["components"]["schemas"][one]["properties"]]
            taken = described.get("parameters", [])
            by_place = {place: [one["name"] for one in taken if one["in"] == place] for place in ("query", "header")}
            found.append(Operation(method.upper(), path, fields, by_place["query"], by_place["header"]))
    return found
