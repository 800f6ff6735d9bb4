"""Says whether a Docker Engine answers at an address; standard library only, and it starts and changes nothing."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import ssl
import subprocess
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0

ANSWERS, SILENT, FORBIDDEN = 0, 1, 2


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self.path)


def certificates() -> str:
    """The folder with ca.pem, cert.pem and key.pem: Cronium's, or that of every Docker client; empty without TLS."""
    if folder := os.environ.get("CRONIUM_DOCKER_CERT_PATH"):
        return folder
    if os.environ.get("DOCKER_TLS_VERIFY"):
        return os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
    return ""


def tls_context(folder: str) -> ssl.SSLContext:
    """For an engine that shows a certificate and wants one."""
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    return context


def connection(address: str) -> http.client.HTTPConnection:
    """Open nothing yet; an address that names no known transport raises ValueError."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return UnixConnection(parts.path)
    if parts.scheme in {"tcp", "http", "https"} and parts.hostname:
        folder = certificates()
        if parts.scheme == "https" or folder:
            context = tls_context(folder) if folder else None
            return http.client.HTTPSConnection(
                parts.hostname, parts.port or 2376, timeout=TIMEOUT_SECONDS, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=TIMEOUT_SECONDS)
    raise ValueError(f"{address}: expected unix://, tcp://, http://, https:// or ssh://")


def over_ssh(address: str) -> bool:
    """Ask the far machine's own client, or without one whether its socket may be used. Never prompts for a password."""
    parts = urlsplit(address)
    target = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
    port = ["-p", str(parts.port)] if parts.port else []
    socket = shlex.quote(parts.path if parts.path.strip("/") else "/var/run/docker.sock")
    check = f"docker version >/dev/null 2>&1 || test -w {socket}"
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *port, target, check]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def ping(address: str) -> int:
    """ANSWERS, SILENT, or FORBIDDEN when it is there but not for this user."""
    try:
        if address.startswith("ssh://"):
            return ANSWERS if over_ssh(address) else SILENT
        link = connection(address)
        link.request("GET", "/_ping")
        return ANSWERS if link.getresponse().status == 200 else SILENT
    except PermissionError:
        return FORBIDDEN
    except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError):
        return SILENT


if __name__ == "__main__":
    sys.exit(ping(sys.argv[1]))
