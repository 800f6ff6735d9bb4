"""Checks whether a Docker Engine answers at an address. Standard library only; read-only."""

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
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self.path)


def find_certificate_folder() -> str:
    """The folder with ca.pem, cert.pem and key.pem: Cronium's setting, else the Docker client's. Empty without TLS."""
    if folder := os.environ.get("CRONIUM_DOCKER_CERT_PATH"):
        return folder
    if os.environ.get("DOCKER_TLS_VERIFY"):
        return os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
    return ""


def create_tls_context(folder: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
    context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
    return context


def create_connection(address: str) -> http.client.HTTPConnection:
    """A connection that is not open yet. Raises ValueError on an unknown transport."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return UnixConnection(parts.path)
    if parts.scheme in {"tcp", "http", "https"} and parts.hostname:
        folder = find_certificate_folder()
        if parts.scheme == "https" or folder:
            context = create_tls_context(folder) if folder else None
            return http.client.HTTPSConnection(
                parts.hostname, parts.port or 2376, timeout=TIMEOUT_SECONDS, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=TIMEOUT_SECONDS)
    raise ValueError(f"{address}: expected unix://, tcp://, http://, https:// or ssh://")


def is_reachable_over_ssh(address: str) -> bool:
    """Runs `docker version` on the remote machine; without a client there, tests whether its socket is writable.

    Never prompts for a password."""
    parts = urlsplit(address)
    target = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
    port = ["-p", str(parts.port)] if parts.port else []
    socket = shlex.quote(parts.path if parts.path.strip("/") else "/var/run/docker.sock")
    check = f"docker version >/dev/null 2>&1 || test -w {socket}"
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *port, target, check]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    return result.returncode == 0


def ping_engine(address: str) -> int:
    """ANSWERS, SILENT, or FORBIDDEN when this user may not open the socket."""
    try:
        if address.startswith("ssh://"):
            return ANSWERS if is_reachable_over_ssh(address) else SILENT
        connection = create_connection(address)
        connection.request("GET", "/_ping")
        return ANSWERS if connection.getresponse().status == 200 else SILENT
    except PermissionError:
        return FORBIDDEN
    except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError):
        return SILENT


if __name__ == "__main__":
    sys.exit(ping_engine(sys.argv[1]))
