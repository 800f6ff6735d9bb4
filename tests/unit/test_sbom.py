"""The SBOM of a saved image: which packages it lists, and which files of which layers count."""

from __future__ import annotations

import io
import json
import warnings

import pytest

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
