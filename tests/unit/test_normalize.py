"""The normalised form of saved images: what it removes, what it keeps, and that equal contents give equal digests."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
import random
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from cronium_admin.images.archive import contents, saved_image, tar_reader
from cronium_admin.images.normalize import ArchiveError, ImageConfig, NormalizedImage, normalize_archive
from tests.fakes.saved_images import (
    LAYOUTS,
    compute_digest,
    make_entry,
    make_folder,
    make_link,
    pack_tar,
    save_image,
)

EPOCH = 1_735_689_600
CONFIG = ImageConfig(labels={"b": "2", "a": "1"}, environment=["A=1"], user="1000", command=["sh"])


class Stream(io.RawIOBase):
    """A pipe: it reads or writes, but does not seek."""

    def __init__(self, content: bytes = b"") -> None:
        self.inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)

    def write(self, data: Any) -> int:
        return self.inner.write(data)


def normalize(archive: bytes, **more: Any) -> tuple[bytes, NormalizedImage]:
    target = io.BytesIO()
    image = normalize_archive(io.BytesIO(archive), target, **{"config": CONFIG, "epoch": EPOCH, **more})
    return target.getvalue(), image


def read_files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar if info.isreg()}  # type: ignore[union-attr]


def read_layers(archive: bytes) -> list[bytes]:
    files = read_files(archive)
    return [files[name] for name in json.loads(files["manifest.json"])[0]["Layers"]]


def normalize_layer(entries: Sequence[tuple[tarfile.TarInfo, bytes]], **more: Any) -> dict[str, tarfile.TarInfo]:
    layer = read_layers(normalize(save_image([pack_tar(entries, **more)]))[0])[0]
    with tarfile.open(fileobj=io.BytesIO(layer), errors="surrogateescape") as tar:
        return {info.name: info for info in tar}


def normalize_content(name: str, content: bytes) -> bytes:
    return read_files(read_layers(normalize(save_image([pack_tar([make_entry(name, content)])]))[0])[0])[name]


LONG = "deep/" * 30 + "é" * 60
ENTRIES = [
    make_folder("app"),
    make_entry("app/main", b"x" * 3000, mode=0o4755, uid=70_000_000, gid=5, uname="someone", gname="group"),
    make_link("app/again", "app/main"),
    make_link("app/a-first", "app/main"),
    make_link("app/pointer", "../etc/passwd", tarfile.SYMTYPE),
    make_entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    make_entry("dev/disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    make_entry("dev/pipe", type=tarfile.FIFOTYPE),
    make_entry("app/.wh.gone"),
    make_entry("app/.wh..wh..opq"),
    make_entry(LONG, b"long"),
    make_link("long-link", "t/" * 80, tarfile.SYMTYPE),
    make_entry("latin-\udce9", b"not UTF-8"),
    make_entry("capable", b"y", pax_headers={"SCHILY.xattr.security.capability": "\x01\x00\x00\x02é", "comment": "c"}),
    make_entry("timed", b"z", mtime=1_790_000_000.25, pax_headers={"atime": "1790000000.5", "ctime": "1790000000.5"}),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_image(layout: str) -> None:
    layers = [pack_tar(ENTRIES), pack_tar([make_entry("second", b"2")]), pack_tar(ENTRIES)]
    archive, image = normalize(save_image(layers, layout))
    assert (archive, image) == normalize(save_image(layers))
    assert image.diff_ids[0] == image.diff_ids[2] != image.diff_ids[1]
    files = read_files(archive)
    manifest = json.loads(files["manifest.json"])[0]
    assert compute_digest(files[manifest["Config"]]) == image.config_digest
    assert [compute_digest(files[name]) for name in manifest["Layers"]] == list(image.diff_ids)
    index = json.loads(files["index.json"])["manifests"][0]
    assert (
        index["digest"] == image.manifest_digest == compute_digest(files[f"blobs/sha256/{image.manifest_digest[7:]}"])
    )
    assert image.has_id(image.config_digest)
    assert image.has_id(image.manifest_digest)
    assert image.size == sum(len(layer) for layer in read_layers(archive))


def test_a_normalized_image_stays_as_it_is() -> None:
    first = normalize(save_image([pack_tar(ENTRIES), pack_tar([])], "oci-gzip"))
    assert normalize(first[0]) == first


@pytest.mark.parametrize("seed", range(8))
def test_times_order_and_names_of_users_do_not_count(seed: int) -> None:
    dice = random.Random(seed)
    others = []
    for info, content in ENTRIES:
        changed = copy.copy(info)
        changed.mtime, changed.uname = EPOCH + dice.randrange(10**8), dice.choice(["", "root", "x"])
        others.append((changed, content))
    links = [index for index, (info, _) in enumerate(others) if info.islnk()]
    free = [row for index, row in enumerate(others) if index not in links]
    dice.shuffle(free)
    shuffled = free + [others[index] for index in dice.sample(links, len(links))]
    expected = normalize(save_image([pack_tar(ENTRIES)]))[1]
    created = {"created": f"20{seed + 20}-01-01T00:00:00Z", "history": [{"created_by": str(seed)}]}
    assert normalize(save_image([pack_tar(shuffled)], "oci", **created))[1] == expected


def test_each_kind_of_entry_keeps_its_meaning() -> None:
    found = normalize_layer(ENTRIES)
    assert set(found) == {info.name.rstrip("/") for info, _ in ENTRIES}
    first, link = found["app/a-first"], found["app/main"]
    assert (first.isreg(), first.size, first.mode, first.uid) == (True, 3000, 0o4755, 70_000_000)
    assert (link.islnk(), link.linkname) == (True, "app/a-first"), "the data comes with the first name"
    assert (first.uname, first.gname, first.gid) == ("", "", 5)
    assert found["app/pointer"].linkname == "../etc/passwd"
    assert found["long-link"].linkname == ("t/" * 80).rstrip("/") or found["long-link"].linkname == "t/" * 80
    assert [(found[name].type, found[name].devmajor, found[name].devminor) for name in ("dev/null", "dev/disk")] == [
        (tarfile.CHRTYPE, 1, 3),
        (tarfile.BLKTYPE, 8, 0),
    ]
    assert found["dev/pipe"].type == tarfile.FIFOTYPE
    assert found["capable"].pax_headers == {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02é"}
    assert found["timed"].pax_headers == {}
    assert {info.mtime for info in found.values()} == {EPOCH}
    names = list(found)
    assert names.index("app/.wh..wh..opq") < names.index("app/.wh.gone") < names.index("app/a-first")
    assert names.index("app") < names.index("app/.wh..wh..opq")


def test_times_before_the_epoch_stay() -> None:
    assert normalize_layer([make_entry("old", mtime=1_000_000_000)])["old"].mtime == 1_000_000_000
    assert normalize_layer([make_entry("older", mtime=-5.5)])["older"].mtime == 0


def test_a_later_entry_replaces_an_earlier_one() -> None:
    entries = [
        make_entry("a", b"first"),
        make_link("b", "a"),
        make_entry("a", b"second"),
        make_folder("d"),
        make_entry("d/inside", b"x"),
        make_entry("d", b"a file now"),
        make_link("to-lower-layer", "usr/bin/perl"),
    ]
    layer = read_layers(normalize(save_image([pack_tar(entries)]))[0])[0]
    assert read_files(layer) == {"a": b"second", "b": b"first", "d": b"a file now"}
    found = normalize_layer(entries)
    assert found["to-lower-layer"].linkname == "usr/bin/perl"


@pytest.mark.parametrize("format", ["gnu", "posix", "ustar"])
def test_archives_of_gnu_tar_with_sparse_files(tmp_path: Path, format: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(5_000_000)
        file.write(b"middle")
        file.truncate(9_000_000)
    (folder / ("n" * 120)).write_bytes(b"long name")
    arguments = [] if format == "ustar" else ["--sparse"]
    if format == "ustar":
        (folder / ("n" * 120)).unlink()
    done = subprocess.run(
        ["tar", "-C", folder, f"--format={format}", *arguments, "-c", "."], check=True, capture_output=True
    )
    found = read_files(read_layers(normalize(save_image([done.stdout]))[0])[0])
    assert found["sparse"] == (folder / "sparse").read_bytes()
    assert set(found) == {path.name for path in folder.iterdir()}


def test_a_huge_sparse_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lastlog").open("wb") as file:
        file.truncate(1 << 40)
    done = subprocess.run(["tar", "-C", tmp_path, "--sparse", "-c", "lastlog"], check=True, capture_output=True)
    with pytest.raises(ArchiveError, match="larger than 8 GiB"):
        normalize(save_image([done.stdout]))


def test_base_layers_pass_untouched() -> None:
    base, own = pack_tar(ENTRIES), pack_tar([make_entry("own")])
    for layout in LAYOUTS:
        archive, image = normalize(save_image([base, own], layout), keep_layers=[compute_digest(base)])
        assert image.diff_ids[0] == compute_digest(base)
        first, second = read_layers(archive)
        assert len(first) < len(base) if layout in ("oci-gzip", "oci-zstd") else first == base
        assert compute_digest(second) == image.diff_ids[1] != compute_digest(own)
        assert normalize(archive, keep_layers=[compute_digest(base)]) == (archive, image)


def test_the_configuration_is_that_of_the_caller_alone() -> None:
    archive, image = normalize(save_image([pack_tar([])]))
    document = json.loads(read_files(archive)[f"blobs/sha256/{image.config_digest[7:]}"])
    assert document == {
        "architecture": "amd64",
        "os": "linux",
        "created": "2025-01-01T00:00:00Z",
        "config": {"Labels": {"a": "1", "b": "2"}, "Env": ["A=1"], "User": "1000", "Cmd": ["sh"]},
        "history": [{"created": "2025-01-01T00:00:00Z", "created_by": "cronium"}],
        "rootfs": {"type": "layers", "diff_ids": list(image.diff_ids)},
    }
    engine = {"Env": ["A=1"], "Cmd": ["sh"], "User": "1000", "Labels": {"cronium.run_id": "r"}, "Volumes": None}
    assert ImageConfig.from_engine(engine, {}) == ImageConfig(environment=("A=1",), user="1000", command=("sh",))


def test_streams_that_cannot_seek() -> None:
    archive = save_image([pack_tar(ENTRIES)])
    target = Stream()
    source = cast(BinaryIO, io.BufferedReader(Stream(archive)))
    image = normalize_archive(source, cast(BinaryIO, target), config=CONFIG, epoch=EPOCH)
    assert (target.inner.getvalue(), image) == normalize(archive)


@pytest.mark.parametrize(
    "name",
    [
        "etc/machine-id",
        "var/cache/ldconfig/aux-cache",
        "var/log/dpkg.log",
        "var/log/dpkg.log.1",
        "var/log/apt/term.log",
    ],
)
def test_caches_ids_and_logs_are_empty(name: str) -> None:
    assert normalize_content(name, b"differs from build to build") == b""
    assert normalize_content(f"opt/{name}", b"the user's own") == b"the user's own"


def test_days_of_passwords_are_clamped() -> None:
    last = EPOCH // 86400
    content = b"root:*:20785:0:99999:7:::\nold:*:100:0:99999:7:::\nnew:*:0:0:99999:7:::\nnone:*::0:99999:7:::\nodd\n"
    assert normalize_content("etc/shadow", content) == content.replace(b"20785", b"%d" % last)
    assert normalize_content("etc/shadow-", content) == content.replace(b"20785", b"%d" % last)


def test_compiled_python_loads_without_the_time_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "module_of_test.py"
    source.write_text("value = 41\n")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    subprocess.run([sys.executable, "-m", "compileall", "-q", source], check=True)
    before = compiled.read_bytes()
    after = normalize_content(f"usr/lib/python3/__pycache__/{compiled.name}", before)
    assert (after[16:], after != before) == (before[16:], True)
    compiled.write_bytes(after)
    source.write_text("value = 42\n")
    shown = subprocess.run(
        [sys.executable, "-c", "import module_of_test as m; print(m.value, m.__cached__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert shown == ["41", str(compiled)], "neither stale nor compiled again"
    assert compiled.read_bytes() == after
    checked = before[:4] + b"\3\0\0\0" + before[8:]
    for kept in (checked, b"", b"short", b"\x03\xf3\r\n" + before[4:]):
        assert contents.clean_compiled_header(kept[:16]) == kept[:16]


def test_the_scripts_of_apk_have_clamped_times() -> None:
    script = [make_entry("musl-1.2.5.Q1abc.post-install", b"#!/bin/sh\n")]
    later = [make_entry("musl-1.2.5.Q1abc.post-install", b"#!/bin/sh\n", mtime=1_795_000_000)]
    first, second = (normalize_content("lib/apk/db/scripts.tar", pack_tar(rows)) for rows in (script, later))
    assert first == second
    assert read_files(first) == {script[0][0].name: b"#!/bin/sh\n"}
    assert normalize_content("lib/apk/db/scripts.tar", b"another form") == b"another form"


def make_scripts_of_a_build() -> Iterator[tuple[str, bytes]]:
    """Files that a step of a build may write for the scripts of apk."""
    nested = b"x"
    for _ in range(300):
        nested = pack_tar([make_entry("lib/apk/db/scripts.tar", nested)])
    yield "nested", nested
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(8 << 30)}
    yield "sparse", pack_tar([make_entry("a", b"1\n0\n".ljust(512, b"\0") + b"x", pax_headers=sparse)])
    for key, value in (("mtime", "inf"), ("mtime", "nan"), ("uid", "x"), ("uid", "9" * 5000), ("size", "-512")):
        yield key + value[:5], pack_tar([make_entry("a", b"x", pax_headers={key: value})])
    header = bytearray(pack_tar([make_entry("a")])[:512])
    header[124:136] = (-512).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    yield "a size below zero", bytes(header) + bytes(1024)
    folders = [entry for _ in range(200) for entry in (make_folder("a"), make_entry("a"))]
    yield "replaced folders", pack_tar(folders)
    shared = {f"SCHILY.xattr.user.{number}": "x" * 60_000 for number in range(10)}
    yield "attributes", pack_tar([make_entry(f"f{number}") for number in range(600)], pax_headers=shared)


@pytest.mark.parametrize("script", [pytest.param(text, id=name) for name, text in make_scripts_of_a_build()])
def test_scripts_that_a_build_wrote_stay_as_they_are(script: bytes) -> None:
    assert normalize_content("lib/apk/db/scripts.tar", script) == script


def test_a_layer_has_a_limited_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = save_image([pack_tar([make_entry(f"file{number}") for number in range(60)])])
    normalize(archive)
    monkeypatch.setattr(tar_reader, "MAX_ENTRIES", 50)
    with pytest.raises(ArchiveError, match="more than 50 files"):
        normalize(archive)
    monkeypatch.setattr(tar_reader, "MAX_ENTRIES", 60)
    monkeypatch.setattr(tar_reader, "MAX_NAME_BYTES", 100)
    with pytest.raises(ArchiveError, match="names and attributes"):
        normalize(archive)


def damage(archive: bytes) -> bytes:
    return archive[:100] + b"\xff" + archive[101:]


@pytest.mark.parametrize(
    ("archive", "error"),
    [
        (pack_tar([make_entry("x")]), "not an archive of `docker save`"),
        (damage(save_image([])), "checksum is wrong"),
        (save_image([pack_tar([make_entry("a", b"x" * 5000)])])[:4000], "ends within"),
        (save_image([pack_tar([make_entry("a/../../b")])]), "leads out of the image"),
        (save_image([], rootfs={"diff_ids": ["x"]}), "0 layers, but the image's configuration names 1"),
        (save_image([damage(pack_tar([make_entry("a")]))]), "checksum is wrong"),
        (save_image([b"\x1f\x8bnot gzip"]), "layer of the archive is damaged"),
        (b"", "not an archive"),
        (pack_tar([make_entry("manifest.json", b"[]")]), "exactly one image"),
        (pack_tar([make_entry("manifest.json", b'[{"Config": "c", "Layers": []}]')]), "c is missing"),
        (pack_tar([make_entry("manifest.json", b"{")]), "not JSON"),
    ],
)
def test_damaged_archives_are_explained(archive: bytes, error: str) -> None:
    with pytest.raises(ArchiveError, match=error):
        normalize(archive)


@pytest.mark.parametrize("layout", ["older", "oci-gzip", "oci-zstd"])
def test_a_layer_is_unpacked_up_to_its_limit_only(layout: str) -> None:
    archive = save_image([pack_tar([make_entry("zeros", bytes(4 << 20))])], layout)
    assert len(archive) < 1 << 20 or layout == "older"
    assert normalize(archive, max_layer=5 << 20)[1].size > 4 << 20
    with pytest.raises(ArchiveError, match="A layer has more than 2 MB"):
        normalize(archive, max_layer=2 << 20)


def test_a_large_layer_is_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal largest
            data = super().read(size)
            largest = max(largest, len(data))
            return data

    archive = save_image([pack_tar([make_entry("big", bytes(8 << 20))])])
    target = io.BytesIO()
    normalize_archive(Counted(archive), target, config=CONFIG, epoch=EPOCH)
    assert largest <= 1 << 20
    assert hashlib.sha256(read_layers(target.getvalue())[0]).hexdigest()
    assert saved_image.read_saved_image(target).layers
