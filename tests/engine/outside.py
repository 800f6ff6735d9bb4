"""A stand-in for the internet on this machine: a public address, a web site, and a name server."""

import os
import socket
import socketserver
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

A_RECORD = 1


class Site(BaseHTTPRequestHandler):
    """Responds with the request that it received; `/bytes/N` returns N zeros."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        size = int(self.path.removeprefix("/bytes/")) if self.path.startswith("/bytes/") else 0
        body = b"hello from outside"
        self.send_response(200)
        self.send_header("Content-Length", str(size or len(body)))
        self.end_headers()
        with suppress(OSError):  # the client has disconnected
            for start in range(0, size, 1 << 20):
                self.wfile.write(bytes(min(1 << 20, size - start)))
        if not size:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Names(socketserver.BaseRequestHandler):
    """Answers queries for A records from `names`: with the first list of a name, and each next time with the next
    list."""

    def handle(self) -> None:
        data, out = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), struct.unpack(">H", data[at + 1 : at + 3])[0]
        addresses = self.server.outside.answer(name) if kind == A_RECORD else []  # type: ignore[attr-defined]
        question = data[12 : at + 5]
        known = addresses is not None
        head = data[:2] + struct.pack(">5H", 0x8180 if known else 0x8183, 1, len(addresses or []), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">2HIH", A_RECORD, 1, 0, 4) + socket.inet_aton(one) for one in addresses or []
        )
        out.sendto(head + question + records, self.client_address)


@dataclass
class Outside:
    """The stand-in's parts. `names` maps a name to its answers in order, each a list of addresses."""

    address: str
    port: int = 0
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    lookups: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def answer(self, name: str) -> list[str] | None:
        answers = self.names.get(name)
        if answers is None:
            return None
        self.lookups[name] += 1
        return answers[min(self.lookups[name], len(answers)) - 1]


@contextmanager
def outside() -> Iterator[Outside]:
    """Uses a separate address for each test process; needs root."""
    number = os.getpid()
    made = Outside(f"11.22.{number // 250 % 250}.{number % 250 + 1}")
    subprocess.run(["ip", "addr", "add", f"{made.address}/32", "dev", "lo"], check=True)
    try:
        site = ThreadingHTTPServer((made.address, 0), Site)
        site.daemon_threads, made.port = True, site.server_address[1]
        site.asked = made.asked  # type: ignore[attr-defined]
        resolver = socketserver.ThreadingUDPServer((made.address, 53), Names)
        resolver.daemon_threads, resolver.outside = True, made  # type: ignore[attr-defined]
        for one in (site, resolver):
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield made
        for one in (site, resolver):
            one.shutdown()
            one.server_close()
    finally:
        subprocess.run(["ip", "addr", "del", f"{made.address}/32", "dev", "lo"], check=True)
