"""Which family of images is built and which builds are skipped, with a fake engine."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests

from cronium_admin.images.build import RECIPES, Progress, build_all
from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context
from cronium_admin.images.errors import ImageBuildError


class Engine:
    """Images by name; `registry` is the registry's answer or error."""

    def __init__(self, registry: Exception | None = None, pull: Exception | None = None) -> None:
        self.timeout: Any = 60
        self.registry, self.refused_pull = registry, pull
        self.images: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.removed: list[str] = []
        self.broken = ""

    def add(self, reference: str, labels: dict[str, str]) -> None:
        self.images[reference] = {"Id": f"sha256:{reference}", "Size": 1, "Config": {"Labels": labels}}

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.images:
            raise docker.errors.ImageNotFound("no such image")
        return self.images[reference]

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

    def build(self, *, tag: str, labels: dict[str, str], **_: Any) -> list[dict[str, Any]]:
        self.calls.append(f"build {tag}")
        if self.broken and self.broken in tag:
            return [{"stream": "Step 1/1 : RUN false\n"}, {"stream": "the reason\n"}, {"error": "it returned 1"}]
        self.add(tag, labels)
        self.images[tag]["Id"] += f"-{len(self.calls)}"
        return [{"stream": "Step 1/1 : FROM x\n"}]

    def remove_image(self, image_id: str) -> None:
        self.removed.append(image_id)
        raise docker.errors.APIError("409", explanation="in use by a container")


def names(engine: Engine) -> list[str]:
    return [call.removeprefix("build ") for call in engine.calls if call.startswith("build ")]


def build(engine: Engine, told: list[Progress] | None = None, **more: Any) -> list[Any]:
    return build_all(engine, report=(told if told is not None else []).append, **more)  # type: ignore[arg-type]


def test_it_builds_alpine_where_a_registry_answers_and_skips_all_the_next_time() -> None:
    engine = Engine()
    assert [image.family for image in build(engine)] == ["alpine"] * 4
    assert "cronium/runner:bash-alpine" in engine.images
    assert engine.calls.count("pull alpine:3.21") == 1
    assert engine.timeout == 60, "the caller's client is as it was"
    engine.calls.clear()
    told: list[Progress] = []
    assert all(image.skipped for image in build(engine, told))
    assert engine.calls == []
    assert told[-1].done == told[-1].total == 4
    assert not any(image.skipped for image in build(engine, force=True))


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

    monkeypatch.setattr("cronium_admin.images.build.ensure_debian_base", make)


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
    assert engine.removed == [old], "what lost its name is removed, if nothing uses it"
    assert names(engine) == ["cronium/runner:python-alpine"]
    engine.calls.clear()
    engine.images["alpine:3.21"]["Id"] = "sha256:newer"
    assert [image.skipped for image in build(engine, sources=sources)] == [False, True, True, False]


def test_a_failing_step_ends_the_build_with_its_words() -> None:
    engine = Engine()
    engine.broken = "node"
    with pytest.raises(ImageBuildError, match="The image node could not be built: it returned 1") as caught:
        build(engine)
    assert "the reason" in caught.value.log


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
