"""The routes: authentication, validation and responses. Handles complete requests and no sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sidecar.config import Config, dump_json
from sidecar.control import BackendRefusedError, BackendUnavailableError, Channel

MAX_DEPTH = 200
ROUTE = re.compile(rb"/executions/([A-Za-z0-9-]{1,64})/(.+)")
METHODS = {b"input": b"GET", b"context": b"GET", b"output": b"POST", b"condition": b"POST"}
# The slash after `shared` may be sent as %2F; no other escape is decoded.
KEY = re.compile(r"(?:shared/)?(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}")
IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MAX_SMALL_BODY = 256 * 1024 + 1024  # a variable's value, a number or a condition, with the enclosing object
# Routes with a body: the operation of the worker, and the member that holds the value.
WRITES = {
    "output": ("output", "output"),
    "condition": ("condition", "condition"),
    "set": ("set_variable", "value"),
    "increment": ("increment_variable", "amount"),
}


@dataclass(frozen=True)
class Request:
    """The head of a request. `target` is not decoded; header names are lower case."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]


@dataclass(frozen=True)
class Response:
    """A complete response. The body is in parts, so that many slow readers share one copy of the input."""

    status: int
    body: tuple[bytes, ...]
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class ApiError(Exception):
    """An error response."""

    def __init__(self, status: int, code: str, message: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or []

    def to_response(self) -> Response:
        body = dump_json({"error": self.code, "message": self.message})
        return Response(self.status, (body,), headers=self.headers)


def is_run_token(config: Config, token: bytes) -> bool:
    """Compares with the run's token; does not check the expiry."""
    return hmac.compare_digest(hashlib.sha256(token).hexdigest(), config.token_sha256)


def create_success(data: bytes) -> Response:
    """The bash helper has no JSON parser: it relies on exactly this prefix and suffix."""
    return Response(200, (b'{"success": true, "data": ', data, b"}"))


@dataclass(frozen=True)
class Route:
    """An accepted request. `name` is health, input, context, get or a key of WRITES."""

    name: str
    query: dict[str, str] = field(default_factory=dict)
    key: str = ""  # of a variable

    @property
    def max_body_bytes(self) -> int | None:
        """None: only the server's limit applies."""
        return None if self.name == "output" else MAX_SMALL_BODY


class Api:
    """Until `configure` is called, it answers only the route health."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel, self._clock = channel, clock
        self._run_config: Config | None = None

    def configure(self, config: Config) -> None:
        self._run_config = config

    @property
    def _config(self) -> Config:
        if self._run_config is None:
            raise ApiError(503, "NOT_READY", "This sandbox waits for a run.")
        return self._run_config

    def parse_route(self, request: Request) -> Route:
        """Accepts or rejects a request by its head, before the body is read. Raises ApiError."""
        path, _, query = request.target.partition(b"?")
        if not path.startswith(b"/"):
            raise ApiError(400, "BAD_REQUEST", "The request path must start with a slash.")
        if path == b"/health":
            self._check_method(request, b"GET")
            return Route("health")
        self._check_token(request)
        match = ROUTE.fullmatch(path)
        if match is None:
            raise ApiError(404, "NOT_FOUND", "This route does not exist.")
        if match[1].decode() != self._config.run_id:
            raise ApiError(403, "FORBIDDEN", "This token belongs to another run.")
        if match[2].startswith(b"variables/"):
            self._parse_query(b"variables", query)
            return self._parse_variable_route(request, match[2].removeprefix(b"variables/"))
        if match[2] not in METHODS:
            raise ApiError(404, "NOT_FOUND", "This route does not exist.")
        self._check_method(request, METHODS[match[2]])
        return Route(match[2].decode(), self._parse_query(match[2], query))

    def _parse_variable_route(self, request: Request, path: bytes) -> Route:
        """GET and PUT take KEY, POST takes KEY/increment. The method decides: a variable may be named increment."""
        text = path.decode("latin-1")
        has_suffix = text.endswith("/increment")
        if request.method not in (b"GET", b"PUT", b"POST") or (request.method == b"POST" and not has_suffix):
            self._check_method(request, b"GET, PUT" if not has_suffix else b"POST")
        is_increment = request.method == b"POST"
        key = re.sub(
            "^shared%2f", "shared/", text.removesuffix("/increment") if is_increment else text, flags=re.IGNORECASE
        )
        if not KEY.fullmatch(key):
            allowed = "NAME or shared/NAME, where NAME is 1 to 128 letters, digits, '.', '_' and '-'"
            raise ApiError(400, "BAD_KEY", f"The variable key {key[:100]!r} is invalid; expected {allowed}.")
        return Route("increment" if is_increment else "get" if request.method == b"GET" else "set", key=key)

    async def handle_request(self, request: Request, route: Route, body: bytes) -> Response:
        if route.name == "health":
            return create_success(b'{"status": "ok"}')
        if route.name == "input":
            return create_success(self._config.input_json)
        if route.name == "context":
            return self._get_context(request, route.query.get("field"))
        if route.name == "get":
            return await self._get_variable(route)
        return await self._write_value(request, route, body)

    def _check_method(self, request: Request, allowed: bytes) -> None:
        if request.method != allowed:
            raise ApiError(
                405, "METHOD_NOT_ALLOWED", f"Use {allowed.decode()} for this route.", headers=[(b"Allow", allowed)]
            )

    def _check_token(self, request: Request) -> None:
        config = self._config
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise ApiError(401, "UNAUTHORIZED", "Send the run's token as Authorization: Bearer TOKEN.")
        if not is_run_token(config, token):
            raise ApiError(401, "UNAUTHORIZED", "This is not the token of this run.")
        if self._clock() >= config.token_deadline:
            raise ApiError(401, "TOKEN_EXPIRED", "The run's token has expired.")

    def _parse_query(self, name: bytes, query: bytes) -> dict[str, str]:
        if not query:
            return {}
        from urllib.parse import parse_qsl  # imported here: it would delay the start of every run

        try:
            pairs = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"))
        except ValueError:
            raise ApiError(400, "BAD_REQUEST", "The query string is malformed.") from None
        if name != b"context" or set(pairs) != {"field"}:
            raise ApiError(400, "BAD_REQUEST", "Only the route context accepts a query string, and only ?field=NAME.")
        return pairs

    def _get_context(self, request: Request, name: str | None) -> Response:
        if name is None:
            return create_success(self._config.context_json)
        if name not in self._config.context:
            names = ", ".join(sorted(self._config.context))
            raise ApiError(404, "NO_SUCH_FIELD", f"The context has no field {name[:100]!r}; it has: {names}.")
        value = self._config.context[name]
        if request.headers.get(b"accept") != b"text/plain":
            return create_success(dump_json(value))
        text = value.encode("utf-8", "replace") if isinstance(value, str) else dump_json(value)
        return Response(200, (text,), b"text/plain; charset=utf-8")

    async def _get_variable(self, route: Route) -> Response:
        data = await self._call_worker("get_variable", (dump_json({"key": route.key}),))
        if not isinstance(data, dict):
            raise ApiError(502, "BACKEND_ERROR", "Cronium sent an invalid response.")
        response = create_success(dump_json(data.get("value")))
        if not data.get("found"):
            response.headers.append((b"Cronium-Variable", b"missing"))
        return response

    async def _write_value(self, request: Request, route: Route, body: bytes) -> Response:
        """Passes the value on as text, without serialising it again."""
        operation, member = WRITES[route.name]
        if route.name == "increment" and body.strip() in (b"", b"{}"):
            body = b'{"amount": 1}'
        is_wrapped = check_json(body, member) and request.headers.get(b"x-cronium-body") != b"value"
        fields = {"key": route.key} if route.key else {}
        if b"idempotency-key" in request.headers:
            fields["idempotency_key"] = self._parse_idempotency_key(request.headers[b"idempotency-key"])
        # One JSON object whose last member is the value.
        head = dump_json(fields)[:-1] + (b", " if fields else b"")
        parts = (head, body.lstrip()[1:]) if is_wrapped else (head, dump_json(member), b": ", body, b"}")
        return create_success(dump_json(await self._call_worker(operation, parts)))

    def _parse_idempotency_key(self, raw: bytes) -> str:
        key = raw.decode("latin-1")
        if not IDEMPOTENCY_KEY.fullmatch(key):
            raise ApiError(400, "BAD_IDEMPOTENCY_KEY", "An Idempotency-Key is 1 to 128 letters, digits and '.:_-'.")
        return key

    async def _call_worker(self, operation: str, body: tuple[bytes, ...]) -> Any:
        try:
            return await self._channel.send_request(operation, body)
        except BackendUnavailableError:
            message = "Cronium did not respond; the request may or may not have been executed."
            raise ApiError(502, "BACKEND_UNAVAILABLE", message) from None
        except BackendRefusedError as error:
            raise ApiError(error.status, error.code, error.message) from None


def reject_constant(name: str) -> NoReturn:
    """Python's parser accepts NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def check_json(body: bytes, member: str) -> bool:
    """Returns True if `body` is {member: VALUE}. Raises ApiError unless it is JSON.

    Does not keep the parsed value: 5 MiB of text can become more than 100 MB of objects.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=reject_constant)
    except RecursionError:
        raise ApiError(400, "TOO_DEEP", f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise ApiError(400, "BAD_JSON", f"The body is not JSON in UTF-8: {str(error)[:200]}") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_too_deep(value):
        raise ApiError(400, "TOO_DEEP", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return isinstance(value, dict) and value.keys() == {member}


def is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)
