"""Which family of images is built and which builds are skipped, with a fake engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import docker.errors
import pytest
import requests

from cronium_admin.images.archive.saved_image import read_saved_image
from cronium_admin.images.build import RECIPES, BuiltImage, Progress, build_all
from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.recipes import DebianSnapshot
from cronium_admin.images.replaced import list_replaced
from tests.fakes.saved_images import compute_digest, make_entry, pack_tar, save_image


class Engine:
    """Images by name and id; `registry` is the registry's answer or error."""

    def __init__(self, registry: Exception | None = None, pull: Exception | None = None) -> None:
        self.timeout: Any = 60
        self.registry, self.refused_pull = registry, pull
        self.images: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.removed: list[str] = []
        self.broken = ""
        self.problem: dict[str, Any] = {"errorDetail": {"message": "it returned 1"}}
        self.load_problem: dict[str, Any] = {}
        self.inherited: dict[str, str] = {}  # labels of the base

    def add(self, reference: str, labels: dict[str, str]) -> None:
        self.images[reference] = {
            "Id": f"sha256:{reference}",
            "Size": 1,
            "Config": {"Labels": labels, "Cmd": ["sh"]},
            "RootFS": {"Layers": [f"layer of {reference}"]},
            "Metadata": {"LastTagTime": f"{len(self.images):04}"},
        }

    def inspect_image(self, reference: str) -> dict[str, Any]:
        found = self.images.get(reference) or {row["Id"]: row for row in self.images.values()}.get(reference)
        if found is None:
            raise docker.errors.ImageNotFound("no such image")
        return found

    def inspect_distribution(self, reference: str) -> dict[str, Any]:
        self.calls.append("registry")
        assert self.timeout <= 10, "an absent registry is noticed within ten seconds"
        if self.registry:
            raise self.registry
        return {}

    def pull(self, name: str, tag: str, **_: Any) -> list[dict[str, Any]]:
        self.calls.append(f"pull {name}:{tag}")
        if self.refused_pull:
            raise self.refused_pull
        self.add(f"{name}:{tag}", {})
        return [{"status": "done"}]

    def build(self, *, labels: dict[str, str], buildargs: dict[str, str], **_: Any) -> list[dict[str, Any]]:
        name = labels["cronium.raw"]
        self.calls.append(f"build {name}")
        if self.broken == name:
            return [{"stream": "Step 1/1 : RUN false\n"}, {"stream": "the reason\n"}, self.problem]
        raw = f"raw-{name}-{len(self.calls)}"
        self.add(raw, {**self.inherited, **labels, "cronium.image": "runner", "cronium.language": name})
        return [{"stream": "Step 1/1 : FROM x\n"}, {"aux": {"ID": f"sha256:{raw}"}}]

    def get_image(self, reference: str) -> list[bytes]:
        layer = pack_tar([make_entry("made/at", f"{reference.split('-')[1]}".encode(), mtime=2_000_000_000)])
        archive = save_image([layer], "oci")
        return [archive[:1000], archive[1000:]]

    def load_image(self, archive: BinaryIO, quiet: bool) -> list[dict[str, Any]]:
        if self.load_problem:
            return [{"stream": "Loading layer"}, self.load_problem]
        saved = read_saved_image(archive)
        content = json.dumps(saved.config, sort_keys=True, separators=(",", ":")).encode()
        image_id = compute_digest(content)
        loaded = {"Id": image_id, "Size": 2, "Config": saved.config["config"], "RootFS": {"Layers": []}}
        self.images[image_id] = {**loaded, "Metadata": {"LastTagTime": f"{len(self.images):04}"}}
        return [{"stream": f"Loaded image ID: {image_id}\n"}]

    def tag(self, image_id: str, repository: str, tag: str, force: bool) -> None:
        self.calls.append(f"tag {repository}:{tag}")
        self.images[f"{repository}:{tag}"] = self.inspect_image(image_id)

    def remove_image(self, image_id: str) -> None:
        self.removed.append(image_id)
        raise docker.errors.APIError("409", explanation="in use by a container")


def names(engine: Engine) -> list[str]:
    return [call.removeprefix("build ") for call in engine.calls if call.startswith("build ")]


def build(engine: Engine, told: list[Progress] | None = None, **more: Any) -> list[Any]:
    return build_all(engine, report=(told if told is not None else []).append, **more)  # type: ignore[arg-type]


def test_it_builds_alpine_where_a_registry_answers_and_skips_all_the_next_time() -> None:
    engine = Engine()
    first = build(engine)
    assert [image.family for image in first] == ["alpine"] * 4
    assert "cronium/runner:bash-alpine" in engine.images
    assert engine.calls.count("pull alpine:3.21") == 1
    assert engine.timeout == 60, "the caller's client is as it was"
    engine.calls.clear()
    told: list[Progress] = []
    assert all(image.skipped for image in build(engine, told))
    assert engine.calls == []
    assert told[-1].done == told[-1].total == 4
    again = build(engine, force=True)
    assert not any(image.skipped or image.replaced for image in again)
    assert [image.image_id for image in again] == [image.image_id for image in first], "same inputs, same digest"
    assert [json.loads(image.sbom)["metadata"]["component"]["name"] for image in again] == [
        image.reference for image in first
    ]


@pytest.mark.parametrize(
    ("registry", "why"),
    [
        (docker.errors.APIError("500", explanation="no such host"), "no such host"),
        (requests.exceptions.ReadTimeout("slow"), "no answer within 10 s"),
    ],
)
def test_without_a_registry_it_says_why_and_what_debian_needs(
    monkeypatch: pytest.MonkeyPatch, registry: Exception, why: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told: list[Progress] = []
    with pytest.raises(ImageBuildError, match="only root can build"):
        build(Engine(registry), told)
    assert why in told[-1].detail


@pytest.fixture
def debian_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(client: Engine, **_: Any) -> str:
        client.add("cronium/base:debian", {})
        return "sha256:base"

    monkeypatch.setattr("cronium_admin.images.bases.ensure_debian_base", make)


@pytest.mark.usefixtures("debian_base")
def test_a_registry_that_refuses_the_pull_leads_to_debian_too() -> None:
    engine = Engine(pull=docker.errors.APIError("429", explanation="toomanyrequests"))
    assert [image.reference for image in build(engine)] == [
        "cronium/runner:bash-debian",
        "cronium/runner:python-debian",
        "cronium/runner:node-debian",
        "cronium/runtime-api:latest",
    ]
    with pytest.raises(ImageBuildError, match="toomanyrequests"):
        build(engine, family="alpine")


def test_alpine_bases_that_are_here_need_no_registry() -> None:
    engine = Engine(docker.errors.APIError("500", explanation="no such host"))
    for recipe in RECIPES:
        engine.add(recipe.alpine_base, {})
    assert {image.family for image in build(engine)} == {"alpine"}


def test_only_what_changed_is_built_again(tmp_path: Path) -> None:
    sources = shutil.copytree(SOURCES, tmp_path / "images")
    engine = Engine()
    build(engine, sources=sources)
    engine.calls.clear()
    (sources / "python" / "cronium.py").write_text("changed = True\n")
    old = engine.images["cronium/runner:python-alpine"]["Id"]
    assert [image.skipped for image in build(engine, sources=sources)] == [True, False, True, True]
    assert old not in engine.removed, "a queued run may name the replaced image"
    assert engine.images[f"cronium/kept:{old[7:19]}"]["Id"] == old
    assert names(engine) == ["python"]
    engine.calls.clear()
    engine.images["alpine:3.21"]["Id"] = "the same image in another image store"
    assert all(image.skipped for image in build(engine, sources=sources))
    engine.images["alpine:3.21"]["RootFS"] = {"Layers": ["a newer layer"]}
    assert [image.skipped for image in build(engine, sources=sources)] == [False, True, True, False]


@pytest.mark.parametrize("problem", [{"errorDetail": {"message": "it returned 1"}}, {"error": "it returned 1"}])
def test_a_failing_step_ends_the_build_with_its_words(problem: dict[str, Any]) -> None:
    engine = Engine()
    engine.broken, engine.problem = "node", problem
    with pytest.raises(ImageBuildError, match="The image node could not be built: it returned 1") as caught:
        build(engine)
    assert "the reason" in caught.value.log
    assert not any(call.startswith("tag ") for call in engine.calls), "all names move together, or none"
    assert len(engine.removed) == 2, "the images before it are not left behind"


def test_what_the_engine_cannot_load_ends_the_build() -> None:
    engine = Engine()
    engine.load_problem = {"errorDetail": {"message": "no space left on device"}}
    with pytest.raises(ImageBuildError, match="could not load the image: no space left on device"):
        build(engine)


def test_an_image_that_fails_its_smoke_test_gets_no_name() -> None:
    def refuse(image: BuiltImage, runner: str, sidecar: str) -> None:
        assert runner.startswith("sha256:")
        assert sidecar.startswith("sha256:")
        if image.name == "python":
            raise ImageBuildError("The image python failed its smoke test.")

    engine = Engine()
    with pytest.raises(ImageBuildError, match="smoke test"):
        build(engine, smoke=refuse)
    assert "cronium/runner:bash-alpine" not in engine.images
    assert len(engine.removed) == 4


def test_labels_say_what_an_image_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    build(engine, labels={"org.opencontainers.image.version": "1.2"})
    labels = engine.images["cronium/runner:bash-alpine"]["Config"]["Labels"]
    assert "cronium.raw" not in labels
    assert {key: labels[key] for key in labels if key.startswith(("org.", "cronium.fam"))} == {
        "cronium.family": "alpine",
        "org.opencontainers.image.created": "2025-01-01T00:00:00Z",
        "org.opencontainers.image.version": "1.2",
    }
    assert labels["cronium.base"].startswith("sha256:")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ImageBuildError, match="SOURCE_DATE_EPOCH"):
        build(engine, force=True)


def test_replaced_versions_stay_while_something_needs_them() -> None:
    engine = Engine()
    for number in range(4):
        engine.add(f"cronium/kept:{number:012}", {"cronium.image": "runner", "cronium.language": "bash"})
    engine.add("cronium/kept:sidecar", {"cronium.image": "runtime-api"})
    for reference, row in engine.images.items():
        row["RepoTags"] = [reference]
    engine.images["cronium/kept:000000000003"]["RepoTags"].append("cronium/runner:bash-debian")
    rows = [{"Id": row["Id"]} for row in engine.images.values()]
    client = SimpleNamespace(images=lambda filters: rows, inspect_image=engine.inspect_image)
    found = list_replaced(client, {"sha256:cronium/kept:000000000000": "run 7 is queued"})  # type: ignore[arg-type]
    assert [(image.reference[-1:], image.why) for image in found] == [
        ("3", "its name is cronium/runner:bash-debian"),
        ("2", "the previous version"),
        ("1", ""),
        ("0", "run 7 is queued"),
        ("r", "the previous version"),
    ]


def test_an_engine_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise requests.exceptions.ConnectionError("refused")

    engine = Engine()
    monkeypatch.setattr(engine, "inspect_image", refuse)
    with pytest.raises(ImageBuildError, match="does not answer"):
        build(engine)


def test_a_context_is_the_same_whatever_the_checkout_did_to_it(tmp_path: Path) -> None:
    copy = shutil.copytree(SOURCES, tmp_path / "images")
    (copy / "bash" / "__pycache__").mkdir()
    (copy / "bash" / "__pycache__" / "x.pyc").write_text("x")
    os.utime(copy / "bash" / "cronium.sh", (0, 0))
    (copy / "bash" / "cronium.sh").chmod(0o600)
    assert compute_sources_digest(copy, "bash") == compute_sources_digest(SOURCES, "bash")
    assert pack_context(copy, "bash").getvalue() == pack_context(SOURCES, "bash").getvalue()
    with tarfile.open(fileobj=io.BytesIO(pack_context(copy, "bash").getvalue())) as tar:
        assert sorted(tar.getnames()) == ["Dockerfile", "base/setup.sh", "cronium.sh"]
        assert tar.getmember("base/setup.sh").mode == 0o755


def test_another_snapshot_makes_the_debian_images_outdated(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(client: Engine, *, snapshot: DebianSnapshot | None, **_: Any) -> str:
        client.add("cronium/base:debian", {"cronium.snapshot": snapshot.time} if snapshot else {})
        client.inherited = client.images["cronium/base:debian"]["Config"]["Labels"]
        return "sha256:base"

    monkeypatch.setattr("cronium_admin.images.bases.ensure_debian_base", make)
    first, second = (DebianSnapshot("http://snap.example/archive", f"2026{day}T000000Z") for day in ("1101", "1102"))
    engine = Engine()
    for snapshot, skipped in ((None, False), (None, True), (first, False), (first, True), (second, False)):
        built = build(engine, family="debian", snapshot=snapshot)
        assert [image.skipped for image in built] == [skipped] * 4
    labels = engine.images["cronium/runner:bash-debian"]["Config"]["Labels"]
    assert labels["cronium.snapshot"] == second.time
    assert not any(image.skipped for image in build(engine, family="debian"))
    assert "cronium.snapshot" not in engine.images["cronium/runner:bash-debian"]["Config"]["Labels"]


def test_alpine_has_no_snapshots() -> None:
    engine = Engine()
    build(engine)
    snapshot = DebianSnapshot("http://snap.example/archive", "20261101T000000Z")
    assert all(image.skipped for image in build(engine, snapshot=snapshot))
