"""The image that checks scripts: its ruff, and a build that continues without it."""

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cronium_admin.images import build as builder
from cronium_admin.images.build import RECIPES, BuiltImage
from cronium_admin.images.build_context import SOURCES
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.linter_tools import PackageIndex, fetch_tools
from tests.unit.test_image_build import Engine, build

FILE = "ruff-1.2.3-py3-none-musllinux_1_2_x86_64.whl"


def make_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ruff-1.2.3.data/scripts/ruff", b"the program")
        archive.writestr("ruff-1.2.3.dist-info/METADATA", b"Name: ruff\nVersion: 1.2.3\n")
    return buffer.getvalue()


class Index(ThreadingHTTPServer):
    """A package index with one wheel; `asked`: paths with the credentials."""

    wheel = make_wheel()
    link = f"../../files/{FILE}#sha256=0"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        page = f'<a href="{self.server.link}">{FILE}</a>'.encode()
        body = {"/simple/ruff/": page, f"/files/{FILE}": self.server.wheel}.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sources(tmp_path: Path, index: Index) -> Path:
    (tmp_path / "linter").mkdir()
    wheel = {"file": FILE, "sha256": hashlib.sha256(index.wheel).hexdigest()}
    (tmp_path / "linter" / "ruff.json").write_text(json.dumps({"version": "1.2.3", "wheels": {"amd64": wheel}}))
    return tmp_path


def test_the_wheel_comes_with_credentials_and_is_compared(index: Index, sources: Path) -> None:
    url = f"http://ci:a%40b@127.0.0.1:{index.server_port}/simple/"
    files = fetch_tools(sources, "x86_64", PackageIndex(url))
    assert files == {"tools/ruff": b"the program", "tools/METADATA": b"Name: ruff\nVersion: 1.2.3\n"}
    assert [path for path, _ in index.asked] == ["/simple/ruff/", f"/files/{FILE}"]
    assert {login for _, login in index.asked} == {f"Basic {base64.b64encode(b'ci:a@b').decode()}"}
    index.wheel += b"more"
    with pytest.raises(ImageBuildError, match="has the SHA-256") as told:
        fetch_tools(sources, "amd64", PackageIndex(url))
    assert "a%40b" not in str(told.value)


@pytest.mark.parametrize(
    ("link", "words"),
    [("other.whl", "does not have it"), (f"file:///etc/{FILE}", "not HTTP"), (f"gone/{FILE}", "404")],
)
def test_an_index_without_the_wheel_says_so(index: Index, sources: Path, link: str, words: str) -> None:
    index.link = link
    with pytest.raises(ImageBuildError, match=words):
        fetch_tools(sources, "amd64", PackageIndex(f"http://127.0.0.1:{index.server_port}/simple"))
    with pytest.raises(ImageBuildError, match="no ruff for the architecture riscv64"):
        fetch_tools(sources, "riscv64", PackageIndex())


def test_the_pins_are_complete() -> None:
    pinned = json.loads((SOURCES / "linter" / "ruff.json").read_text())
    assert set(pinned["wheels"]) == {"amd64", "arm64"}
    for wheel in pinned["wheels"].values():
        assert wheel["file"].startswith(f"ruff-{pinned['version']}-")
        assert len(wheel["sha256"]) == 64


class TestBuild:
    @pytest.fixture(autouse=True)
    def fetched(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        asked: list[str] = []

        def fetch(sources: Path, architecture: str, index: PackageIndex) -> dict[str, bytes]:
            asked.append(architecture)
            return {"tools/ruff": b"program"}

        monkeypatch.setattr(builder, "fetch_tools", fetch)
        monkeypatch.setattr(Engine, "version", lambda self: {"Arch": "amd64"}, raising=False)
        return asked

    def test_it_is_built_with_the_others_and_skipped_then(self, fetched: list[str]) -> None:
        engine = Engine()
        images = build(engine, linter=PackageIndex())
        assert [image.name for image in images] == [*(recipe.name for recipe in RECIPES), "linter"]
        assert images[-1].reference == "cronium/linter:alpine"
        assert fetched == ["amd64"]
        assert all(image.skipped for image in build(engine, linter=PackageIndex()))
        del engine.images["cronium/linter:alpine"]
        assert [image.skipped for image in build(engine, linter=PackageIndex())] == [True] * 4 + [False]

    def test_the_others_are_built_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise ImageBuildError("ruff could not be downloaded from pypi.org: no route")

        monkeypatch.setattr(builder, "fetch_tools", fail)
        engine, told = Engine(), list[Any]()
        images = build(engine, told, linter=PackageIndex())
        assert [image.name for image in images] == [recipe.name for recipe in RECIPES]
        assert "scripts can't be checked: ruff could not be downloaded" in told[-1].detail
        assert "cronium/runner:bash-alpine" in engine.images

    def test_one_that_finds_nothing_gets_no_name(self) -> None:
        def refuse(image: BuiltImage, runner: str, sidecar: str) -> None:
            if image.name == "linter":
                raise ImageBuildError("the check of bash does not find SC1046")

        engine = Engine()
        assert len(build(engine, linter=PackageIndex(), smoke=refuse)) == 4
        assert "cronium/linter:alpine" not in engine.images
