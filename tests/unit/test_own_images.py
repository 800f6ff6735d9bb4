"""Own images: updates since the build, doctor's words about them, and the commands list, gc, verify, push and pull."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
from django.core.management import CommandError, call_command

from cronium_admin.core.database.clock import database_now
from cronium_admin.images import own_images
from cronium_admin.images.archive.tar_reader import ArchiveError
from cronium_admin.images.build import BuiltImage
from cronium_admin.images.models import OwnImage
from cronium_admin.images.updates import PackageUpdate, UpdateCheck, parse_updates
from cronium_admin.jobs.models import Job
from cronium_admin.ops.image_commands import build as images_build
from cronium_admin.ops.image_commands import gc, listing, pull, push, sboms, transfer, verify
from cronium_admin.registries.models import Registry
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.health.checks.own_images import check_own_images
from executor.docker import errors
from tests.users import get_admin

SIDECAR = "cronium/runtime-api:latest"
DEBIAN = """Reading package lists...
cronium: updates follow
Inst libssl3t64 [3.5.9-1~deb13u1] (3.5.10-1~deb13u1 Debian-Security:13/stable-security [amd64])
Inst tzdata [2026f-0+deb13u1] (2026g-0+deb13u1 Debian:13.9/stable [all])
Conf tzdata (2026g-0+deb13u1 Debian:13.9/stable [all])
"""
ALPINE = """cronium: updates follow
Installed:                                Available:
libcrypto3-3.3.3-r0                     < 3.3.5-r0
py3-h11-0.14.0-r4                       < 0.14.0-r5
"""


def test_updates_of_both_families() -> None:
    assert parse_updates(0, DEBIAN).updates == (
        PackageUpdate("libssl3t64", "3.5.9-1~deb13u1", "3.5.10-1~deb13u1", True),
        PackageUpdate("tzdata", "2026f-0+deb13u1", "2026g-0+deb13u1"),
    )
    assert parse_updates(0, ALPINE).updates == (
        PackageUpdate("libcrypto3", "3.3.3-r0", "3.3.5-r0"),
        PackageUpdate("py3-h11", "0.14.0-r4", "0.14.0-r5"),
    )
    assert parse_updates(0, "cronium: updates follow\n") == UpdateCheck()


@pytest.mark.parametrize(
    ("status", "output", "problem"),
    [
        (
            100,
            "E: Failed to fetch http://deb.debian.org\n",
            "no mirror answers (E: Failed to fetch http://deb.debian.org)",
        ),
        (124, "", "no mirror answers (exit code 124)"),
        (0, "the image has neither apt-get nor apk\n", "the image has neither apt-get nor apk"),
        (1, DEBIAN, "the package manager ended with the exit code 1"),
    ],
)
def test_updates_are_unknown_without_a_mirror(status: int, output: str, problem: str) -> None:
    assert parse_updates(status, output) == UpdateCheck(problem=problem)


def store_image(reference: str = "cronium/runner:bash-debian", **more: Any) -> OwnImage:
    return OwnImage.objects.create(**{"reference": reference, "image_id": "sha256:1", "size": 10**8, **more})


def check_health() -> list[tuple[str, str]]:
    probe = SimpleNamespace(call_database=lambda function: function())
    return [(row.state, row.found.partition(": ")[2]) for row in check_own_images(probe)]  # type: ignore[arg-type]


def test_doctor_says_age_and_updates(db: None) -> None:
    image = store_image(built_at=database_now() - timedelta(days=3, minutes=1))
    assert check_health() == [("ok", "3 days old, updates not looked for yet")]
    own_images.store_updates(image, UpdateCheck(problem="no mirror answers (timeout)"))
    assert check_health() == [("ok", "3 days old, updates unknown: no mirror answers (timeout)")]
    OwnImage.objects.update(built_at=database_now() - timedelta(days=40))
    assert check_health()[0][0] == "warning"
    own_images.store_updates(image, UpdateCheck())
    assert check_health() == [("ok", "1 month old, no updates since")]
    own_images.store_updates(image, UpdateCheck((PackageUpdate("tzdata", "1", "2"),)))
    assert check_health() == [("ok", "1 month old, 1 update since")]
    updates = (PackageUpdate("tzdata", "1", "2"), PackageUpdate("libssl3t64", "1", "2", True))
    own_images.store_updates(image, UpdateCheck(updates))
    assert check_health() == [("warning", "1 month old, 2 updates since, 1 of them security")]


def test_updates_are_looked_for_once_a_day(db: None) -> None:
    image = store_image()
    assert own_images.find_outdated_checks() == [image]
    own_images.store_updates(image, UpdateCheck())
    assert own_images.find_outdated_checks() == []
    OwnImage.objects.update(updates_checked_at=database_now() - timedelta(days=1, minutes=1))
    assert own_images.find_outdated_checks() == [image]
    OwnImage.objects.update(image_id="sha256:rebuilt", updates=None)
    own_images.store_updates(image, UpdateCheck((PackageUpdate("tzdata", "1", "2"),)))
    assert OwnImage.objects.get().updates is None, "the answer is about the image before it"


class Client:
    """Images by reference, as docker-py describes them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.removed: list[str] = []
        self.in_use: set[str] = set()

    def add(self, reference: str, image_id: str, tagged_at: str = "", **labels: str) -> None:
        self.rows[reference] = {
            "Id": image_id,
            "Size": 10**8,
            "RepoTags": [reference],
            "Created": 1_790_000_000,
            "Config": {"Labels": {key.replace("__", "."): value for key, value in labels.items()}},
            "Metadata": {"LastTagTime": tagged_at},
        }

    def inspect_image(self, reference: str) -> dict[str, Any]:
        found = self.rows.get(reference) or {row["Id"]: row for row in self.rows.values()}.get(reference)
        if found is None:
            raise docker.errors.ImageNotFound("no such image")
        return found

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if filters["label"] in row["Config"]["Labels"]]

    def remove_image(self, reference: str) -> None:
        if reference in self.in_use:
            raise docker.errors.APIError("409", explanation="in use by a container")
        self.removed.append(reference)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()

    @contextmanager
    def open_client() -> Iterator[Client]:
        yield made

    for module in (gc, listing, pull, push, verify):
        monkeypatch.setattr(module, "open_client", open_client)
    return made


def run(*words: str) -> str:
    out = StringIO()
    call_command("images", *words, stdout=out, stderr=out)
    return out.getvalue()


def test_list_shows_each_image(db: None, client: Client) -> None:
    assert "Run `manage.py images build`" in run("list")
    client.add("cronium/runner:bash-debian", "sha256:1", cronium__sbom="sha256:" + "5" * 64)
    client.add("cronium/runtime-api:latest", "sha256:2")
    store_image(base="cronium/base:debian", built_at=database_now() - timedelta(days=2))
    rows = json.loads(run("list", "--json"))
    assert rows == [
        {
            "reference": "cronium/runner:bash-debian",
            "id": "sha256:1",
            "size": "95.4 MB",
            "age": "2 days",
            "base": "cronium/base:debian",
            "packages": f"newest of the mirror on {database_now() - timedelta(days=2):%Y-%m-%d}",
            "updates": "updates not looked for yet",
            "SBOM": "sha256:" + "5" * 64,
        },
        {
            "reference": "cronium/runtime-api:latest",
            "id": "sha256:2",
            "size": "95.4 MB",
            "age": "unknown",
            "base": "",
            "packages": "unknown",
            "updates": "not built from here",
            "SBOM": "none",
        },
    ]
    assert "cronium/runtime-api:latest" in run("list")
    assert "cronium/runner:bash-debian" in run("list"), "a name is not broken over two lines"
    client.add("cronium/runner:bash-debian", "sha256:1", cronium__snapshot="20261101T000000Z")
    assert json.loads(run("list", "--json"))[0]["packages"] == "of snapshot 20261101T000000Z"


def test_a_refresh_leaves_the_packages_of_a_snapshot(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = UpdateCheck((PackageUpdate("jq", "1", "2"),))
    monkeypatch.setattr(images_build, "find_updates", lambda client, reference: updates)
    client.add("cronium/runner:bash-debian", "sha256:1", cronium__snapshot="20261101T000000Z")
    told: list[str] = []
    has_updates = images_build._has_updates(client, lambda step, done, total, detail: told.append(detail))  # type: ignore[arg-type]
    assert not has_updates
    assert told == [
        "its packages are those of the snapshot 20261101T000000Z; set a later CRONIUM_IMAGE_DEBIAN_SNAPSHOT"
    ]
    client.add("cronium/runner:bash-debian", "sha256:1")
    assert images_build._has_updates(client, lambda *_: None)  # type: ignore[arg-type]


def test_gc_says_why_each_version_stays(
    db: None, client: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pulled images are those of an engine.
    monkeypatch.setattr(gc, "_handle_pulled", lambda command, host, is_dry: None)
    for number in range(1, 5):
        client.add(f"cronium/kept:{number}", f"sha256:{number}", f"2026-01-0{number}", cronium__image="runner")
    client.add("raw", "sha256:raw", cronium__raw="bash")
    client.add("new", "sha256:new", cronium__raw="node")
    client.rows["new"]["Created"] = time.time() - 60
    client.in_use = {"cronium/kept:2"}
    job = make_job()
    for status, digest in ((Status.QUEUED, "sha256:1"), (Status.SUCCEEDED, "sha256:3")):
        Run.objects.filter(pk=launch(job, get_admin()).pk).update(status=status, image_digest=digest)
    shown = run("gc", "--dry-run")
    assert client.removed == []
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert lines["cronium/kept:4"].endswith("stays: the previous version")
    assert "stays: the queued run" in lines["cronium/kept:1"]
    assert lines["sha256:new"].endswith("stays: a build may need it")
    assert [lines[name].endswith("would go") for name in ("cronium/kept:3", "cronium/kept:2", "sha256:raw")] == [
        True
    ] * 3
    assert "\n3 own images would go.\n" in shown
    shown = run("gc")
    assert client.removed == ["cronium/kept:3", "sha256:raw"]
    assert "stays: a container uses it" in shown
    assert "\n2 own images removed.\n" in shown


class Engine:
    """The executor's engine: `problem` ends the second transfer."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.image_calls, self.problem = self, problem
        self.calls: list[tuple[str, str]] = []
        self.logins: list[Any] = []
        self.insecure = False

    def tag(self, source: str, reference: str) -> None:
        self.calls.append(("tag", reference))

    def remove(self, reference: str) -> bool:
        self.calls.append(("remove", reference))
        return True

    def push(self, reference: str, login: Any, **_: Any) -> str:
        self.logins.append(login)
        if self.problem and len(self.logins) == 2:
            raise self.problem
        return f"sha256:{len(self.logins)}"

    def is_insecure(self, host: str) -> bool:
        return self.insecure


@pytest.fixture
def engine(client: Client, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(push, "make_own_engine", lambda pool: made)
    client.add("cronium/runner:bash-debian", "sha256:1")
    client.add("cronium/runtime-api:latest", "sha256:2")
    return made


def test_push_prints_digests_and_leaves_no_name_behind(db: None, engine: Engine) -> None:
    shown = run("push", "--registry", "registry.example.com:5000/team")
    remotes = [
        f"registry.example.com:5000/team/cronium/{name}" for name in ("runner:bash-debian", "runtime-api:latest")
    ]
    assert shown.splitlines()[-2:] == [f"{remotes[0]}@sha256:1", f"{remotes[1]}@sha256:2"]
    assert engine.calls == [(call, remote) for remote in remotes for call in ("tag", "remove")]
    assert engine.logins == [None, None]


def test_a_refused_push_is_no_success(db: None, engine: Engine) -> None:
    engine.problem = errors.ImagePullDenied("The registry refuses the credentials.")
    with pytest.raises(CommandError, match=r"refuses the credentials\. Pushed before: 1 of 2 images"):
        run("push", "--registry", "registry.example.com")
    assert engine.calls[-1][0] == "remove"
    with pytest.raises(CommandError, match=r"Not an own image on the engine: alpine:3\. There are: cronium/"):
        run("push", "--registry", "registry.example.com", "alpine:3")
    with pytest.raises(CommandError, match="without https://"):
        run("push", "--registry", "https://registry.example.com")


def test_credentials_come_from_the_page_or_the_environment(
    db: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer.sys, "stdin", StringIO("from-stdin\n"))
    run("push", "--registry", "r.example.com", "--username", "ci", "cronium/runtime-api:latest")
    assert (engine.logins[-1].username, engine.logins[-1].password) == ("ci", "from-stdin")
    with pytest.raises(CommandError, match=r"There is no password\. Set CRONIUM_REGISTRY_PASSWORD"):
        run("push", "--registry", "r.example.com", "--username", "ci", "cronium/runtime-api:latest")
    monkeypatch.setenv("CRONIUM_REGISTRY_PASSWORD", "from-env")
    run("push", "--registry", "r.example.com", "--username", "ci", "cronium/runtime-api:latest")
    assert engine.logins[-1].password == "from-env"
    engine.insecure = True
    with pytest.raises(CommandError, match="would travel unprotected"):
        run("push", "--registry", "r.example.com", "--username", "ci", "cronium/runtime-api:latest")
    run("push", "--registry", "127.0.0.1:5000", "--username", "ci", "cronium/runtime-api:latest")
    Registry.objects.create(address="r.example.com", username="stored")
    with pytest.raises(CommandError, match="has a user and no secret"):
        run("push", "--registry", "r.example.com/team", "cronium/runtime-api:latest")


def test_verify_names_what_differs(db: None, client: Client) -> None:
    with pytest.raises(CommandError, match=r"Run `manage\.py images build`"):
        run("verify", "--no-run")
    client.add("cronium/runner:bash-debian", "sha256:1")
    problems = list(verify.find_problems(client, "cronium/runner:bash-debian", runs=False))  # type: ignore[arg-type]
    assert problems == ["it has no labels of an own image of this version"]
    labels = {"cronium__image": "runner", "cronium__language": "cobol", "cronium__sbom": "sha256:1"}
    client.add("cronium/runner:bash-debian", "sha256:1", **labels)
    store_image(image_id="sha256:0")
    assert list(verify.find_problems(client, "cronium/runner:bash-debian", runs=False)) == [  # type: ignore[arg-type]
        "it is sha256:1, but sha256:0 was built",
        "its label cronium.language is 'cobol'",
    ]
    with pytest.raises(CommandError, match="not as they were built"):
        run("verify", "--no-run", "cronium/runner:absent")


def test_verify_knows_the_images_of_a_release(db: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no label of an SBOM: the packages are compared with those of the first call."""
    monkeypatch.setattr(sboms, "save_image", lambda client, reference, archive: archive.write(b"first"))
    monkeypatch.setattr(sboms, "build_sbom", lambda archive, **_: archive.seek(0) or archive.read())
    sources = verify.compute_sources_digest(verify.SOURCES, "bash")
    labels = {"cronium__image": "runner", "cronium__language": "bash", "cronium__sources": sources}
    labels |= {"org__opencontainers__image__version": "1.2.0"}
    client.add("cronium/runner:bash-alpine", "sha256:1", **labels)
    store_image(reference="cronium/runner:bash-alpine", image_id="sha256:1")

    def find() -> list[str]:
        return list(verify.find_problems(client, "cronium/runner:bash-alpine", runs=False))  # type: ignore[arg-type]

    assert find() == []
    assert OwnImage.objects.get().sbom_digest
    assert "as it was pulled; its signature and SBOM are in the registry" in run("verify", "--no-run")
    assert find() == []
    monkeypatch.setattr(sboms, "save_image", lambda client, reference, archive: archive.write(b"other"))
    assert find() == ["its packages have changed"]


@pytest.mark.parametrize("error", [ArchiveError("The archive is damaged."), OSError("The archive is damaged.")])
def test_packages_that_cannot_be_listed_are_a_sentence(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(sboms, "save_image", fail)
    sources = verify.compute_sources_digest(verify.SOURCES, "bash")
    labels = {"cronium__image": "runner", "cronium__language": "bash", "cronium__sources": sources}
    client.add("cronium/runner:bash-debian", "sha256:1", cronium__sbom="sha256:2", **labels)
    image = store_image(image_id="sha256:1")
    found = list(verify.find_problems(client, image.reference, runs=False))  # type: ignore[arg-type]
    assert found == ["its packages can't be listed: The archive is damaged."]
    built = [BuiltImage("bash", image.reference, "sha256:1", "debian", 1, skipped=True)]
    told: list[str] = []
    sboms.store_missing_sboms(client, built, lambda *event: told.append(event[-1]))  # type: ignore[arg-type]
    assert told == ["listing its packages", "its packages can't be listed: The archive is damaged."]
    assert not OwnImage.objects.get().sbom_digest


def test_pull_prefers_the_release_of_this_version(settings: Any) -> None:
    settings.VERSION = "1.2.0"
    names = {name: pull._list_remotes("ghcr.io/acme", name) for name in ("cronium/runner:bash-alpine", SIDECAR)}
    assert names == {
        "cronium/runner:bash-alpine": (
            "ghcr.io/acme/cronium/runner:bash-alpine-1.2.0",
            "ghcr.io/acme/cronium/runner:bash-alpine",
        ),
        SIDECAR: ("ghcr.io/acme/cronium/runtime-api:1.2.0", f"ghcr.io/acme/{SIDECAR}"),
    }
