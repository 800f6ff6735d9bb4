"""The SBOM of a saved image: which packages it lists, and which files of which layers count."""

from __future__ import annotations

import io
import json
import warnings

import pytest

from cronium_admin.images.archive import packages
from cronium_admin.images.archive.tar_reader import ArchiveError
from cronium_admin.images.sbom import Package, build_sbom, list_packages
from tests.fakes.saved_images import LAYOUTS, make_entry, make_folder, make_link, pack_tar, save_image

DPKG = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12+deb13u5
Description: the C library
 Version: 0 is text of the description

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: half
Status: purge ok not-installed
Architecture: amd64
Version: 1.0
"""
APK = b"C:Q1x\nP:musl\nV:1.2.5-r9\nA:x86_64\n\nP:busybox\nV:1.37.0-r12\nA:x86_64\n\n"
SITE = "usr/lib/python3/site-packages"
METADATA = b"Metadata-Version: 2.1\nName: Typing_Extensions\nVersion: 4.12\n\nName: not this\nVersion: 0\n"
OS = b'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n'


def list_of(*layers: list[object], layout: str = "older") -> list[Package]:
    archive = save_image([pack_tar(layer) for layer in layers], layout)  # type: ignore[arg-type]
    return list_packages(build_sbom(io.BytesIO(archive), name="x", version="1"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packages_of_all_four_kinds(layout: str) -> None:
    assert list_of(
        [make_entry("var/lib/dpkg/status", DPKG), make_entry("lib/apk/db/installed", APK)],
        [
            make_entry("var/lib/dpkg/status.d/base", b"Package: base\nVersion: 1\n"),
            make_entry("var/lib/dpkg/status.d/base.md5sums", b"0  file\n"),
            make_entry(f"{SITE}/typing_extensions-4.12.dist-info/METADATA", METADATA),
            make_entry(f"{SITE}/old-1.egg-info", b"Name: old\nVersion: 1\n"),
            make_entry(f"{SITE}/setuptools/_vendor/x-1.dist-info/METADATA", METADATA),
            make_entry("app/node_modules/left-pad/package.json", b'{"name": "left-pad", "version": "1.3.0"}'),
            make_entry("app/node_modules/@types/node/package.json", b'{"name": "@types/node", "version": "22.0.0"}'),
            make_entry("app/node_modules/left-pad/test/package.json", b'{"name": "inner", "version": "1"}'),
            make_entry("app/node_modules/odd/package.json", b"{not JSON"),
            make_entry("app/node_modules/nameless/package.json", b'{"name": 5}'),
        ],
        layout=layout,
    ) == [
        ("apk", "busybox", "1.37.0-r12"),
        ("apk", "musl", "1.2.5-r9"),
        ("deb", "base", "1"),
        ("deb", "libc6", "2.41-12+deb13u5"),
        ("npm", "@types/node", "22.0.0"),
        ("npm", "left-pad", "1.3.0"),
        ("pypi", "old", "1"),
        ("pypi", "typing-extensions", "4.12"),
    ]


FIRST = make_entry(f"{SITE}/a-1.dist-info/METADATA", b"Name: a\nVersion: 1\n")
SECOND = make_entry(f"{SITE}/a-2.dist-info/METADATA", b"Name: a\nVersion: 2\n")


@pytest.mark.parametrize(
    ("later", "versions"),
    [
        ([make_entry(f"{SITE}/.wh.a-1.dist-info"), SECOND], ["2"]),
        ([SECOND], ["1", "2"]),
        ([make_entry(f"{SITE}/a-1.dist-info/.wh.METADATA")], []),
        ([make_entry("usr/.wh..wh..opq")], []),
        ([make_entry("usr/.wh.lib")], []),
        ([make_link("usr/lib", "lib64", b"2")], []),
        ([make_folder("usr/lib")], ["1"]),
        ([make_entry(FIRST[0].name, b"Name: a\nVersion: 1.5\n")], ["1.5"]),
        ([make_link(FIRST[0].name, "other", b"2")], []),
        ([SECOND, make_link(FIRST[0].name, SECOND[0].name)], ["2"]),
    ],
)
def test_later_layers_replace_and_remove(later: list[object], versions: list[str]) -> None:
    assert [package.version for package in list_of([FIRST], later)] == versions


def test_the_document_is_the_same_each_time_and_follows_the_standard() -> None:
    layers = [pack_tar([make_entry("var/lib/dpkg/status", DPKG), make_entry("usr/lib/os-release", OS)])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (
            build_sbom(io.BytesIO(save_image(layers, layout)), name="cronium/runner:x", version="sha256:1")
            for layout in ("older", "oci")
        )
    assert first == second
    document = json.loads(first)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"] == {
        "component": {"bom-ref": "image", "name": "cronium/runner:x", "type": "container", "version": "sha256:1"}
    }
    assert [item.get("purl") for item in document["components"]] == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u5?arch=amd64&distro=debian-13",
        None,
    ]
    other = build_sbom(io.BytesIO(save_image(layers)), name="cronium/runner:x", version="sha256:2")
    assert json.loads(other)["serialNumber"] != document["serialNumber"]


HOSTILE = [
    (
        "var/lib/dpkg/status",
        b"Package: a\0b\x1b[31m\nVersion: 1\xff\n",
        [("deb", "a?b?[31m", "1\N{REPLACEMENT CHARACTER}")],
    ),
    ("var/lib/dpkg/status", b"Package: /\nVersion: 1\n\nPackage: b/\nVersion: \x0c\n", []),
    ("node_modules/a/package.json", b'{"name": "\\ud800", "version": "1"}', [("npm", "?", "1")]),
    ("node_modules/a/package.json", b'{"name": "@/", "version": "1"}', [("npm", "@", "1")]),
    ("node_modules/a/package.json", b"[" * 100_000, []),
    ("x.dist-info/METADATA", b"Name: " + b"n" * 5000 + b"\nVersion: " + b"1" * 5000, [("pypi", "n" * 214, "1" * 100)]),
]


@pytest.mark.parametrize(("path", "content", "found"), HOSTILE)
def test_lists_that_a_build_wrote(path: str, content: bytes, found: list[Package]) -> None:
    assert list_of([make_entry(path, content)]) == found


def test_a_hostile_name_of_the_system() -> None:
    release = make_entry("etc/os-release", b"ID=a\0/../b\nVERSION_ID=" + b"9" * 500_000)
    assert list_of([release, make_entry("var/lib/dpkg/status", DPKG)]) == [("deb", "libc6", "2.41-12+deb13u5")]


def test_the_lists_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    status = b"".join(b"Package: p%d\nVersion: 1\n\n" % number for number in range(packages.MAX_PACKAGES + 1))
    with pytest.raises(ArchiveError, match="more than 20,000 entries"):
        list_of([make_entry("var/lib/dpkg/status", status)])
    many = [make_entry(f"{number}.dist-info/METADATA", b"x" * 100) for number in range(20)]
    for name, limit in (("_MAX_DOCUMENTS", 19), ("_MAX_DOCUMENT_BYTES", 1999)):
        assert list_of(many) == []
        with monkeypatch.context() as patch:
            patch.setattr(packages, name, limit)
            with pytest.raises(ArchiveError, match="lists of installed packages are"):
                list_of(many[:10], many[10:])
