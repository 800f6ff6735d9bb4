"""A small registry on loopback that serves `SmallImage`s, records its requests, and fails as a test wants.

It implements what an engine needs for a pull: the ping, basic and bearer authentication, manifests and blobs. It takes
no pushes. tests/engine/registry.py starts a real registry.
"""

import base64
import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.small_image import MANIFEST, SmallImage, build_small_image

PATHS = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
TLS_HANDSHAKE = b"\x16"
SERVICE = "fake-registry"
UNAUTHORIZED = ("UNAUTHORIZED", "authentication required", {"class": ""})


@dataclass(frozen=True)
class Request:
    """`kind` is ping, token, manifests or blobs."""

    method: str
    path: str
    kind: str
    headers: dict[str, str]
    status: int

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def credentials(self) -> str:
        """USER:PASSWORD of a basic authorization; empty without one."""
        scheme, _, value = self.authorization.partition(" ")
        return base64.b64decode(value).decode() if scheme == "Basic" else ""


@dataclass
class Fault:
    """Answers requests of `kind` with a status and an error; or `stall` and `cut`: a blob ends, without or with the end
    of the connection, after half of its bytes. `times`: only the next so many requests. `larger_than`: only blobs of
    more bytes, so that the configuration passes and a layer fails."""

    kind: str
    status: int = 0
    code: str = ""
    message: str = ""
    detail: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    larger_than: int = 0
    stall: bool = False
    cut: bool = False
    times: int | None = None


class FakeRegistry:
    """`repository` has the image of each tag in `images`. Faults and credentials may change while it serves.

    With `password`, requests need basic authorization; with `is_bearer` too, they need a token, which the token route
    issues to these credentials (to everybody if there is no password). A token is valid for `token_seconds`, whatever
    its `expires_in` says (at least 60, because engines take less for 60).
    """

    def __init__(self, address: str = "127.0.0.1", certificates: Path | None = None) -> None:
        self.repository = "team/small"
        self.images: dict[str, SmallImage] = {"1": build_small_image()}
        self.user, self.password, self.is_bearer = "puller", "", False
        self.token_seconds = 300.0
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.tokens: dict[str, float] = {}
        self._known: dict[str, SmallImage] = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = _Server((address, 0), type("Handler", (_Handler,), {"registry": self}))
        self.scheme = "https" if certificates else "http"
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"{address}:{self._server.server_address[1]}"

    @property
    def name(self) -> str:
        """The repository as an engine names it, without a tag."""
        return f"{self.host}/{self.repository}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, kind: str, status: int = 0, code: str = "", message: str = "", **others: Any) -> Fault:
        fault = Fault(kind, status, code, message, **others)
        self.faults.append(fault)
        return fault

    def mend(self) -> None:
        """Ends all faults; stalled answers end without the missing bytes."""
        self.faults.clear()
        self._released.set()
        self._released = threading.Event()

    def find(self, kind: str) -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def take_fault(self, kind: str, size: int = 0) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.kind != kind or fault.times == 0 or size < fault.larger_than:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def wait_for_release(self) -> None:
        self._released.wait(600)

    def issue_token(self) -> str:
        token = secrets.token_urlsafe(16)
        self.tokens[token] = time.monotonic() + self.token_seconds
        return token

    def accepts(self, authorization: str, *, is_bearer: bool) -> bool:
        scheme, _, value = authorization.partition(" ")
        if is_bearer:
            return scheme == "Bearer" and self.tokens.get(value, 0) > time.monotonic()
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.password or (scheme, value) == ("Basic", expected)

    def find_manifest(self, reference: str) -> SmallImage | None:
        self._known |= {image.digest: image for image in self.images.values()}
        return self.images.get(reference) or self._known.get(reference)

    def find_blob(self, digest: str) -> bytes | None:
        self._known |= {image.digest: image for image in self.images.values()}
        return next((image.blobs[digest] for image in self._known.values() if digest in image.blobs), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that break off are what tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FakeRegistry

    def setup(self) -> None:
        # The handshake in the request's own thread: a client that never speaks must not stop the others.
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def handle(self) -> None:
        # Engines with containerd's image store try TLS first, on loopback too, and HTTP after an answer in HTTP.
        if not isinstance(self.request, ssl.SSLSocket) and self.request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
            self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return
        super().handle()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        found = PATHS.fullmatch(path)
        kind = found["kind"] if found else {"/v2/": "ping", "/token": "token"}.get(path, "unknown")
        blob = self.registry.find_blob(found["reference"]) if found and kind == "blobs" else None
        fault = self.registry.take_fault(kind, len(blob or b""))
        if fault and fault.status:
            self._refuse(kind, fault.status, (fault.code, fault.message, fault.detail), fault.headers)
        elif kind == "token":
            self._send_token()
        elif not self.registry.accepts(self.headers.get("Authorization", ""), is_bearer=self.registry.is_bearer):
            self._challenge(kind)
        elif found and found["repository"] != self.registry.repository:
            name = {"name": found["repository"]}
            self._refuse(kind, 404, ("NAME_UNKNOWN", "repository name not known to registry", name))
        elif kind == "manifests" and found:
            self._send_manifest(found["reference"])
        elif kind == "blobs" and found:
            self._send_blob(found["reference"], blob, fault)
        elif kind == "ping":
            self._send(kind, 200, b"{}", {"Content-Type": "application/json"})
        else:
            self._refuse(kind, 404, ("UNSUPPORTED", "no such route", None))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """A token for the credentials in a form: containerd's way, where others send basic authorization."""
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
        pair = ":".join(form.get(name, [""])[0] for name in ("username", "password"))
        self.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self.do_GET()

    def _send_token(self) -> None:
        if not self.registry.accepts(self.headers.get("Authorization", ""), is_bearer=False):
            self._refuse("token", 401, UNAUTHORIZED)
            return
        token = self.registry.issue_token()
        body = {"token": token, "access_token": token, "expires_in": max(60, int(self.registry.token_seconds))}
        self._send("token", 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _challenge(self, kind: str) -> None:
        registry = self.registry
        challenge = f'Basic realm="{SERVICE}"'
        if registry.is_bearer:
            scope = f',scope="repository:{registry.repository}:pull"' if kind != "ping" else ""
            challenge = f'Bearer realm="{registry.scheme}://{registry.host}/token",service="{SERVICE}"{scope}'
        self._refuse(kind, 401, UNAUTHORIZED, {"WWW-Authenticate": challenge})

    def _send_manifest(self, reference: str) -> None:
        image = self.registry.find_manifest(reference)
        if image is None:
            self._refuse("manifests", 404, ("MANIFEST_UNKNOWN", "manifest unknown", {"Tag": reference}))
            return
        self._send("manifests", 200, image.manifest, {"Content-Type": MANIFEST, "Docker-Content-Digest": image.digest})

    def _send_blob(self, digest: str, blob: bytes | None, fault: Fault | None) -> None:
        if blob is None:
            self._refuse("blobs", 404, ("BLOB_UNKNOWN", "blob unknown to registry", digest))
            return
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or ["", "0"])[1])
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(blob) - 1}/{len(blob)}"
        self._send("blobs", 206 if start else 200, blob[start:], headers, fault)

    def _refuse(
        self, kind: str, status: int, error: tuple[str, str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        """`error` is code, message and detail; without a code, the message is the body. An engine leaves the message
        out of its own when there is no detail."""
        code, message, detail = error
        entry = {"code": code, "message": message, **({"detail": detail} if detail is not None else {})}
        body = json.dumps({"errors": [entry]}) if code else message
        self._send(kind, status, body.encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(
        self, kind: str, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None = None
    ) -> None:
        received = {name.lower(): value for name, value in self.headers.items()}
        self.registry.record(Request(self.command, self.path, kind, received, status))
        is_broken = fault is not None and (fault.stall or fault.cut)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
        with suppress(OSError):  # the client has disconnected
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if is_broken else body)
            if is_broken:
                self.close_connection = True
                self.wfile.flush()
                if fault and fault.stall:
                    self.registry.wait_for_release()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve_fake_registry(address: str = "127.0.0.1", certificates: Path | None = None) -> Iterator[FakeRegistry]:
    """`certificates` is a folder with cert.pem and key.pem, for TLS."""
    registry = FakeRegistry(address, certificates)
    registry.start()
    try:
        yield registry
    finally:
        registry.close()
