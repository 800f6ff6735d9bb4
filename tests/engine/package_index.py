"""A package index for builds: a few wheels, with a password and TLS, on the address of `outside`."""

import base64
import hashlib
import io
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pip

from tests.fakes.certificates import Certificates

USER, PASSWORD = "builder", "p%2Fass-word-of-the-index"  # as in a URL
PLAIN_PASSWORD = "p/ass-word-of-the-index"


def make_wheel(name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """File name and contents of a wheel with pure Python modules."""
    about = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {text}\n" for text in requires)
    members = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in members.items())
    members[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path, text in members.items():
            file.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", buffer.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def _make_pip_wheel() -> tuple[str, bytes]:
    """The pip of the tests' own environment."""
    folder = Path(pip.__file__).parent
    about = next(folder.parent.glob(f"pip-{pip.__version__}.dist-info"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for top in (folder, about):
            for path in sorted(top.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    file.write(path, path.relative_to(folder.parent))
    return f"pip-{pip.__version__}-py3-none-any.whl", buffer.getvalue()


@dataclass
class PackageIndex:
    """`url` has the credentials. `asked` lists the paths of the requests with the right password."""

    url: str
    ca: Path
    wheels: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by project
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> None:
        self.wheels[name.replace("_", "-")] = make_wheel(name, version, files, requires)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        index: PackageIndex = self.server.index  # type: ignore[attr-defined]
        expected = "Basic " + base64.b64encode(f"{USER}:{PLAIN_PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            index.refused.append(self.path)
            return self._answer(401, b"", **{"WWW-Authenticate": 'Basic realm="index"'})
        index.asked.append(self.path)
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "simple" and rest in index.wheels:
            name, content = index.wheels[rest]
            digest = hashlib.sha256(content).hexdigest()
            page = f'<!DOCTYPE html><a href="/files/{name}#sha256={digest}">{name}</a>'
            return self._answer(200, page.encode(), **{"Content-Type": "text/html"})
        files = dict(index.wheels.values())
        if kind == "files" and rest in files:
            return self._answer(200, files[rest], **{"Content-Type": "application/octet-stream"})
        return self._answer(404, b"not found")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def package_index(address: str, folder: Path) -> Iterator[PackageIndex]:
    """Serves pip itself too, which the runner images of Debian lack."""
    Certificates(folder, address=address)
    server = ThreadingHTTPServer((address, 0), _Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server" / "cert.pem", folder / "server" / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://{USER}:{PASSWORD}@{address}:{server.server_address[1]}/simple"
    made = PackageIndex(url, folder / "server" / "ca.pem")
    made.wheels["pip"] = _make_pip_wheel()
    server.index = made  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
