"""The routes: who may ask, what is asked, what is answered. It sees whole requests and never a socket."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sidecar.config import Config, dump
from sidecar.control import BackendRefusedError, BackendUnavailableError, Channel

MAX_DEPTH = 200
ROUTE = re.compile(rb"/executions/([A-Za-z0-9-]{1,64})/(.+)")
METHODS = {b"input": b"GET", b"context": b"GET", b"output": b"POST", b"condition": b"POST"}
# A slash in a key may be sent as it is or as %2F; nothing else is ever decoded.
KEY = re.compile(r"(?:shared/)?(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}")
IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MAX_SMALL_BODY = 256 * 1024 + 1024  # a variable's value, or a number, or a condition, with its wrapping
# What a request with a body asks of the worker: the operation, and the member that its value is wrapped in.
WRITES = {
    "output": ("output", "output"),
    "condition": ("condition", "condition"),
    "set": ("set_variable", "value"),
    "increment": ("increment_variable", "amount"),
}


@dataclass(frozen=True)
class Request:
    """The head of a request. `target` is what stood in the request line, undecoded; header names are lower case."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]


@dataclass(frozen=True)
class Response:
    """A whole answer. Its body stays in parts: sixty slow readers of one input share one copy of it."""

    status: int
    body: tuple[bytes, ...]
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class ApiError(Exception):
    """An answer that says no."""

    def __init__(self, status: int, code: str, message: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or []

    def response(self) -> Response:
        """As the job sees it."""
        body = dump({"error": self.code, "message": self.message})
        return Response(self.status, (body,), headers=self.headers)


def is_token(config: Config, shown: bytes) -> bool:
    """Whether `shown` is the run's token; whether it still counts is another question."""
    return hmac.compare_digest(hashlib.sha256(shown).hexdigest(), config.token_sha256)


def success(data: bytes) -> Response:
    """Exactly this prefix and `}` as the end: the bash helper, which has no JSON parser, relies on it."""
    return Response(200, (b'{"success": true, "data": ', data, b"}"))


@dataclass(frozen=True)
class Route:
    """A request that may be answered: `name` is health, input, context, get or one of WRITES."""

    name: str
    query: dict[str, str] = field(default_factory=dict)
    key: str = ""  # of a variable

    @property
    def body_bytes(self) -> int | None:
        """How large a body it takes, where that is less than the server does."""
        return None if self.name == "output" else MAX_SMALL_BODY


class Api:
    """The routes of one run."""

    def __init__(self, config: Config, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._channel, self._clock = config, channel, clock

    def route(self, request: Request) -> Route:
        """Decide on the head alone, before a byte of the body is read; raise ApiError for a no."""
        path, _, query = request.target.partition(b"?")
        if not path.startswith(b"/"):
            raise ApiError(400, "BAD_REQUEST", "The request line must hold a path that starts with a slash.")
        if path == b"/health":
            self._check_method(request, b"GET")
            return Route("health")
        self._check_token(request)
        found = ROUTE.fullmatch(path)
        if found is None:
            raise ApiError(404, "NOT_FOUND", "There is no such route.")
        if found[1].decode() != self._config.run_id:
            raise ApiError(403, "FORBIDDEN", "This token belongs to another run.")
        if found[2].startswith(b"variables/"):
            self._parse_query(b"variables", query)
            return self._variable(request, found[2].removeprefix(b"variables/"))
        if found[2] not in METHODS:
            raise ApiError(404, "NOT_FOUND", "There is no such route.")
        self._check_method(request, METHODS[found[2]])
        return Route(found[2].decode(), self._parse_query(found[2], query))

    def _variable(self, request: Request, rest: bytes) -> Route:
        """KEY by GET or PUT, KEY/increment by POST: the method decides, for a variable may be called increment."""
        text = rest.decode("latin-1")
        ends = text.endswith("/increment")
        if request.method not in (b"GET", b"PUT", b"POST") or (request.method == b"POST" and not ends):
            self._check_method(request, b"GET, PUT" if not ends else b"POST")
        adds = request.method == b"POST"
        key = re.sub("^shared%2f", "shared/", text.removesuffix("/increment") if adds else text, flags=re.IGNORECASE)
        if not KEY.fullmatch(key):
            allowed = "NAME or shared/NAME, where NAME is 1 to 128 letters, digits, '.', '_' and '-'"
            raise ApiError(400, "BAD_KEY", f"{key[:100]!r} is not a variable's key: {allowed}.")
        return Route("increment" if adds else "get" if request.method == b"GET" else "set", key=key)

    async def answer(self, request: Request, route: Route, body: bytes) -> Response:
        """Answer a routed request whose body is complete."""
        if route.name == "health":
            return success(b'{"status": "ok"}')
        if route.name == "input":
            return success(self._config.input_json)
        if route.name == "context":
            return self._context(request, route.query.get("field"))
        if route.name == "get":
            return await self._get_variable(route)
        return await self._write(request, route, body)

    def _check_method(self, request: Request, allowed: bytes) -> None:
        if request.method != allowed:
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"Use {allowed.decode()} here.", headers=[(b"Allow", allowed)])

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise ApiError(401, "UNAUTHORIZED", "Send the run's token as Authorization: Bearer TOKEN.")
        if not is_token(self._config, token):
            raise ApiError(401, "UNAUTHORIZED", "This is not the token of this run.")
        if self._clock() >= self._config.token_ends:
            raise ApiError(401, "TOKEN_EXPIRED", "The run's token has expired.")

    def _parse_query(self, name: bytes, query: bytes) -> dict[str, str]:
        if not query:
            return {}
        from urllib.parse import parse_qsl  # at its first use: every run waits for the start, few ask for a field

        try:
            pairs = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"))
        except ValueError:
            raise ApiError(400, "BAD_REQUEST", "The query string is malformed.") from None
        if name != b"context" or set(pairs) != {"field"}:
            raise ApiError(400, "BAD_REQUEST", "Only the route context takes a query, and only ?field=NAME.")
        return pairs

    def _context(self, request: Request, name: str | None) -> Response:
        if name is None:
            return success(self._config.context_json)
        if name not in self._config.context:
            known = ", ".join(sorted(self._config.context))
            raise ApiError(404, "NO_SUCH_FIELD", f"The context has no field {name[:100]!r}; it has: {known}.")
        value = self._config.context[name]
        if request.headers.get(b"accept") != b"text/plain":
            return success(dump(value))
        text = value.encode("utf-8", "replace") if isinstance(value, str) else dump(value)
        return Response(200, (text,), b"text/plain; charset=utf-8")

    async def _get_variable(self, route: Route) -> Response:
        data = await self._ask("get_variable", (dump({"key": route.key}),))
        if not isinstance(data, dict):
            raise ApiError(502, "BACKEND_ERROR", "Cronium's answer can't be read.")
        response = success(dump(data.get("value")))
        if not data.get("found"):
            response.headers.append((b"Cronium-Variable", b"missing"))
        return response

    async def _write(self, request: Request, route: Route, body: bytes) -> Response:
        """Wrap the value as it came, without parsing it into objects and back, and pass it on."""
        operation, member = WRITES[route.name]
        if route.name == "increment" and body.strip() in (b"", b"{}"):
            body = b'{"amount": 1}'
        wrapped = check_json(body, member) and request.headers.get(b"x-cronium-body") != b"value"
        facts = {"key": route.key} if route.key else {}
        if b"idempotency-key" in request.headers:
            facts["idempotency_key"] = self._idempotency_key(request.headers[b"idempotency-key"])
        # One object: what we say about the value, then the value as its last member.
        head = dump(facts)[:-1] + (b", " if facts else b"")
        whole = (head, body.lstrip()[1:]) if wrapped else (head, dump(member), b": ", body, b"}")
        return success(dump(await self._ask(operation, whole)))

    def _idempotency_key(self, raw: bytes) -> str:
        key = raw.decode("latin-1")
        if not IDEMPOTENCY_KEY.fullmatch(key):
            raise ApiError(400, "BAD_IDEMPOTENCY_KEY", "An Idempotency-Key is 1 to 128 letters, digits and '.:_-'.")
        return key

    async def _ask(self, operation: str, body: tuple[bytes, ...]) -> Any:
        try:
            return await self._channel.request(operation, body)
        except BackendUnavailableError:
            message = "Cronium did not answer; whether it did what was asked can't be said."
            raise ApiError(502, "BACKEND_UNAVAILABLE", message) from None
        except BackendRefusedError as error:
            raise ApiError(error.status, error.code, error.message) from None


def refuse_constant(name: str) -> NoReturn:
    """NaN and its kin are no JSON, whatever Python's parser says."""
    raise ValueError(f"{name} is not JSON")


def check_json(body: bytes, member: str) -> bool:
    """Raise ApiError unless `body` is JSON that others can parse too; true if it is {member: VALUE}.

    The value is dropped at once: 5 MiB of text can be more than 100 MB of objects.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
    except RecursionError:
        raise ApiError(400, "TOO_DEEP", f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise ApiError(400, "BAD_JSON", f"The body is not JSON in UTF-8: {str(error)[:200]}") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_deep(value):
        raise ApiError(400, "TOO_DEEP", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return isinstance(value, dict) and value.keys() == {member}


def is_deep(value: Any) -> bool:
    """Deeper than MAX_DEPTH containers in each other? Level by level, without recursion."""
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
