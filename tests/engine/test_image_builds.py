"""Builds of own images on a real engine: same inputs, same digest; the SBOM; updates; push and pull."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO, StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import docker
import docker.errors
import pytest
from django.core.management import CommandError, call_command

from cronium_admin.images import bases, build, debian_base, recipes
from cronium_admin.images.build import BuiltImage, build_all, find_own_images
from cronium_admin.images.build_context import SOURCES
from cronium_admin.images.models import OwnImage
from cronium_admin.images.recipes import LABEL_SBOM, LABEL_SNAPSHOT, DebianSnapshot, Recipe
from cronium_admin.images.sbom import build_sbom, list_packages
from cronium_admin.images.updates import find_updates
from tests.engine.registry import start_registry

NAMES = "cronium-test-builds"
USER, PASSWORD = "pusher", "a-password-for-tests"
needs_mirror = pytest.mark.skipif("CRONIUM_TEST_OFFLINE" in os.environ, reason="this engine reaches no package mirror")


@pytest.fixture
def family(docker_client: docker.APIClient) -> str:
    return "debian" if any(name.endswith("-debian") for name in find_own_images(docker_client)) else "alpine"


@pytest.fixture
def own_names(docker_client: docker.APIClient, family: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Builds get names of this test and use the base on the engine. `family` asks for the real names before."""
    monkeypatch.setattr(Recipe, "get_reference", lambda self, family: f"{NAMES}/{self.name}:{family}")
    monkeypatch.setattr(build, "keep_image", lambda client, image_id: None)
    monkeypatch.setattr(bases, "ensure_debian_base", lambda client, **_: None)
    yield
    for row in docker_client.images(all=False):
        for name in row["RepoTags"] or ():
            if name.startswith(f"{NAMES}/"):
                with suppress(docker.errors.APIError):
                    docker_client.remove_image(name)


def build_only(
    client: docker.APIClient, monkeypatch: pytest.MonkeyPatch, name: str, family: Any, **more: Any
) -> BuiltImage:
    monkeypatch.setattr(build, "RECIPES", tuple(recipe for recipe in recipes.RECIPES if recipe.name == name))
    monkeypatch.setattr(build._Builder, "check_images", lambda self, images: None)
    return build_all(client, report=lambda _: None, family=family, **more)[0]


@needs_mirror
@pytest.mark.long
@pytest.mark.usefixtures("own_names")
def test_the_same_inputs_give_the_same_digest(
    docker_client: docker.APIClient, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """With packages, a user, compiled Python and copied files: all that an image of ours does."""
    before = {row["Id"] for row in docker_client.images(filters={"label": "cronium.raw"})}
    first = build_only(docker_client, monkeypatch, "runtime-api", family, force=True)
    again = build_only(docker_client, monkeypatch, "runtime-api", family, force=True)
    assert (again.image_id, again.replaced, again.skipped) == (first.image_id, "", False)
    assert again.sbom == first.sbom
    found = docker_client.inspect_image(first.reference)
    base = docker_client.inspect_image(Recipe("runtime-api", "alpine:3.21").get_base(family))
    shared = len(base["RootFS"]["Layers"])
    assert found["RootFS"]["Layers"][:shared] == base["RootFS"]["Layers"], "base layers are shared"
    assert found["Created"].startswith("2025-01-01T00:00:00")
    assert {step["CreatedBy"] for step in docker_client.history(first.reference)} == {"cronium"}
    assert {row["Id"] for row in docker_client.images(filters={"label": "cronium.raw"})} <= before


@needs_mirror
@pytest.mark.chaos
def test_the_debian_base_is_the_same_each_time(
    docker_client: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two file systems of debootstrap from the same mirror; fails if the mirror changes in between."""
    monkeypatch.setattr(debian_base, "DEBIAN_BASE", f"{NAMES}/base:debian")
    try:
        ids = [
            debian_base.ensure_debian_base(docker_client, say=lambda _: None, force=True, sources=SOURCES)
            for _ in range(2)
        ]
    finally:
        with suppress(docker.errors.APIError):
            docker_client.remove_image(f"{NAMES}/base:debian")
    assert ids[0] == ids[1]


@needs_mirror
@pytest.mark.chaos
def test_a_snapshot_fixes_the_packages_of_the_debian_base(
    docker_client: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is on loopback, which containers do not reach: the search for updates asks Debian's mirror."""
    monkeypatch.setattr(debian_base, "DEBIAN_BASE", base := f"{NAMES}/base:debian")
    with serve_snapshot("20261101T000000Z") as (mirror, paths):
        snapshot = DebianSnapshot(mirror, "20261101T000000Z")
        try:
            debian_base.ensure_debian_base(
                docker_client, say=lambda _: None, force=True, sources=SOURCES, snapshot=snapshot
            )
            labels = docker_client.inspect_image(base)["Config"]["Labels"]
            sources = _run(docker_client, base, "cat /etc/apt/sources.list")
            check = find_updates(docker_client, base)
        finally:
            with suppress(docker.errors.APIError):
                docker_client.remove_image(base)
    assert labels[LABEL_SNAPSHOT] == "20261101T000000Z"
    assert sources.splitlines() == [
        f"deb {mirror}/debian/20261101T000000Z trixie main",
        f"deb {mirror}/debian/20261101T000000Z trixie-updates main",
        f"deb {mirror}/debian-security/20261101T000000Z trixie-security main",
    ]
    suites = {path.split("/dists/")[1].split("/")[0] for path in paths if path.endswith("Release")}
    assert suites == {"trixie", "trixie-updates", "trixie-security"}
    assert check.problem == ""


@contextmanager
def serve_snapshot(time: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a snapshot whose files are those of Debian's mirror today, and the paths that were asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            found = re.fullmatch(rf"/archive/(debian|debian-security)/{time}/(.*)", self.path)
            self.send_response(302 if found else 404)
            if found:
                self.send_header("Location", f"http://deb.debian.org/{found[1]}/{found[2]}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/archive", paths
        finally:
            server.shutdown()


@pytest.mark.usefixtures("own_names")
def test_times_logs_and_days_of_a_build_leave_no_trace(
    docker_client: docker.APIClient, monkeypatch: pytest.MonkeyPatch, family: str, tmp_path: Path
) -> None:
    sources = shutil.copytree(SOURCES, tmp_path / "images")
    (sources / "bash" / "Dockerfile").write_text(
        "ARG BASE\nFROM ${BASE}\nARG FAMILY\nCOPY base/setup.sh cronium.sh /opt/\n"
        "RUN /opt/setup.sh user; mkdir -p /var/log /var/cache/ldconfig\n"
        "RUN date +%N >/var/log/dpkg.log; date +%N >/var/cache/ldconfig/aux-cache; date +%N >/etc/machine-id\n"
        "RUN mkdir /made; for name in c a b; do echo $name >/made/$name; done; ln /made/c /made/0\n"
        'LABEL cronium.image="runner"\nUSER 1000\nCMD ["cat", "/made/0"]\n'
    )
    first = build_only(docker_client, monkeypatch, "bash", family, force=True, sources=sources)
    again = build_only(docker_client, monkeypatch, "bash", family, force=True, sources=sources)
    assert again.image_id == first.image_id
    container = docker_client.create_container(first.reference, network_disabled=True)["Id"]
    try:
        docker_client.start(container)
        docker_client.wait(container, timeout=60)
        assert docker_client.logs(container) == b"c\n"
    finally:
        docker_client.remove_container(container, force=True)
    (sources / "bash" / "cronium.sh").write_text("# changed\n")
    other = build_only(docker_client, monkeypatch, "bash", family, sources=sources)
    assert (other.image_id != first.image_id, other.replaced) == (True, first.image_id)


def test_the_sbom_lists_what_the_image_has(docker_client: docker.APIClient, runner_images: dict[str, str]) -> None:
    """Against the image's own tools."""
    scripts = {
        "deb": "dpkg-query -W -f '${binary:Package} ${Version}\\n' | sed 's/:[a-z0-9]* / /'",
        "apk": "apk info -v 2>/dev/null | sed 's/-\\([0-9][^-]*-r[0-9]*\\)$/ \\1/'",
        "pypi": "command -v python >/dev/null || exit 0; python -c 'import importlib.metadata as m, re\n"
        'print(*(re.sub(r"[-_.]+", "-", d.name).lower() + " " + d.version for d in m.distributions()), sep="\\n")\'',
    }
    for language in ("bash", "python"):
        reference = runner_images[language]
        saved = BytesIO(b"".join(docker_client.get_image(reference)))
        version = docker_client.inspect_image(reference)["Config"]["Labels"]["org.opencontainers.image.version"]
        sbom = build_sbom(saved, name=reference, version=version)
        packages = list_packages(sbom)
        present = "apk" if reference.endswith("-alpine") else "deb"
        for kind in (present, "pypi"):
            shown = _run(docker_client, reference, scripts[kind])
            assert sorted(f"{name} {version}" for type_, name, version in packages if type_ == kind) == sorted(
                set(filter(None, shown.splitlines()))
            )
        assert len(packages) > 10
        label = docker_client.inspect_image(reference)["Config"]["Labels"][LABEL_SBOM]
        assert label == f"sha256:{hashlib.sha256(sbom).hexdigest()}"


def _run(client: docker.APIClient, image: str, script: str) -> str:
    container = client.create_container(
        image,
        ["sh", "-c", script],
        host_config=client.create_host_config(network_mode="none", read_only=True, cap_drop=["ALL"]),
    )["Id"]
    try:
        client.start(container)
        assert client.wait(container, timeout=60)["StatusCode"] == 0
        return str(client.logs(container, stderr=False).decode())
    finally:
        client.remove_container(container, force=True)


@needs_mirror
@pytest.mark.usefixtures("own_names")
def test_updates_are_found_and_a_silent_mirror_is_unknown(
    docker_client: docker.APIClient, runner_images: dict[str, str], family: str
) -> None:
    if family != "debian":
        pytest.skip("the older package is made of dpkg's list")
    made = {}
    for name, step in {
        "older": "sed -i '/^Package: tzdata$/,/^$/s/^Version: .*/Version: 2020a-0/' /var/lib/dpkg/status",
        "away": "sed -i 's|http://[^ ]*|http://127.0.0.1:9/debian|' /etc/apt/sources.list",
    }.items():
        dockerfile = f"FROM {runner_images['bash']}\nUSER root\nRUN {step}\n"
        tag = f"{NAMES}/updates:{name}"
        events = docker_client.build(fileobj=BytesIO(dockerfile.encode()), tag=tag, rm=True, decode=True)
        assert not [event for event in events if "errorDetail" in event]
        made[name] = find_updates(docker_client, tag)
    assert [(update.name, update.installed) for update in made["older"].updates if update.name == "tzdata"] == [
        ("tzdata", "2020a-0")
    ]
    assert made["away"].problem.startswith("no mirror answers (")
    for tag in (f"{NAMES}/updates:{name}" for name in made):  # servers of other tests look for updates too
        assert not docker_client.containers(all=True, filters={"label": "cronium.updates", "ancestor": tag})


def call(*words: str) -> str:
    out = StringIO()
    call_command("images", *words, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.long
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_push_and_pull_through_a_registry(docker_client: docker.APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    own = find_own_images(docker_client)
    with start_registry({USER: PASSWORD}) as registry:
        options = ["--registry", f"{registry.host}/team", "--username", USER]
        monkeypatch.setenv("CRONIUM_REGISTRY_PASSWORD", "wrong")
        with pytest.raises(CommandError, match="Pushed before: 0 of"):
            call("push", *options)
        monkeypatch.setenv("CRONIUM_REGISTRY_PASSWORD", PASSWORD)
        shown = call("push", *options)
        pushed = dict(line.rsplit("@", 1) for line in shown.splitlines() if "@sha256:" in line)
        assert set(pushed) == {f"{registry.host}/team/{name}" for name in own}
        for remote, digest in pushed.items():
            repository, _, tag = remote.removeprefix(f"{registry.host}/").rpartition(":")
            assert registry.find_digest(repository, tag) == digest
        assert not [name for row in docker_client.images() for name in row["RepoTags"] or () if registry.host in name]
        ids = {name: docker_client.inspect_image(name)["Id"] for name in own}
        call("pull", *options)
        assert {name: docker_client.inspect_image(name)["Id"] for name in own} == ids
        assert not [name for row in docker_client.images() for name in row["RepoTags"] or () if registry.host in name]
        assert set(OwnImage.objects.values_list("reference", "image_id")) <= set(ids.items())
        assert PASSWORD not in shown


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_verify_lists_and_runs_what_was_built(docker_client: docker.APIClient) -> None:
    own = find_own_images(docker_client)
    out = StringIO()
    with suppress(CommandError):
        call_command("images", "verify", stdout=out, stderr=out)
    shown = out.getvalue()
    assert "differs" not in shown, shown
    assert [f"{name}: as it was built" in shown for name in own] == [True] * len(own)
    rows = json.loads(call("list", "--json"))
    assert [row["reference"] for row in rows] == own
    assert debian_base.inspect_image(docker_client, own[0])


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_images_from_before_the_database_get_their_list_of_packages(docker_client: docker.APIClient) -> None:
    call("build")
    for image in OwnImage.objects.all():
        labels = docker_client.inspect_image(image.reference)["Config"]["Labels"]
        assert image.sbom_digest == labels[LABEL_SBOM], image.reference
    assert OwnImage.objects.count() == len(find_own_images(docker_client))
