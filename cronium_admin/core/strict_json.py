"""Parses the JSON of requests, and refuses values that a database or another parser can't represent."""

import json
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from cronium_admin.core.errors import ApiError

MAX_DEPTH = 100


def parse_request_json(body: bytes) -> Any:
    """Raises ApiError: 400 for invalid JSON, 422 for valid JSON that can't be stored."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _make_json_error(f"byte {error.start + 1} is not UTF-8") from error
    try:
        value = json.loads(text, object_pairs_hook=_build_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _make_json_error(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise _make_json_error(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # a number with more digits than Python converts
        raise _make_json_error("it holds a number with too many digits") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_depth(value)
    if b"\\u" in body:
        _refuse_lone_surrogates(value)
    return value


def _make_json_error(why: str) -> ApiError:
    message = f"The body is not valid JSON: {why}."
    return ApiError(400, "invalid_json", message, {"body": [message]})


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        duplicate = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _make_json_error(f"the key {duplicate[:40]!r} is given twice")
    return members


def _refuse_constant(name: str) -> Any:
    raise _make_json_error(f"{name} is not a JSON value")


def _refuse_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _make_json_error(f"it is nested deeper than {MAX_DEPTH} levels")


def _refuse_lone_surrogates(value: Any) -> None:
    # Half a surrogate pair is valid JSON, but not text: no database stores it.
    parts = value.items() if isinstance(value, dict) else [("body", value)]
    for name, part in parts:
        try:
            (name + json.dumps(part, ensure_ascii=False)).encode()
        except UnicodeEncodeError:
            field = name.encode("utf-8", "replace").decode()
            message = "Contains half a surrogate pair (\\ud800 to \\udfff), which is not text. Remove it."
            raise ApiError(422, "invalid", f"{field}: {message}", {field: [message]}) from None


class StrictParser(Parser):
    """django-ninja's parser of bodies, with the checks above."""

    def parse_body(self, request: HttpRequest) -> Any:
        return parse_request_json(request.body)
