"""Pulls at the claim with a real registry: credentials, digests, moved tags, faults, and who may use an image."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from ipaddress import IPv4Network
from typing import Any

import docker
import pytest

from executor.docker import image_calls
from executor.docker.client import Engine
from executor.docker.errors import (
    ImageNotFound,
    ImagePullAborted,
    ImagePullDenied,
    ImagePullFailed,
    ImagePullLimited,
    ImagePullStalled,
)
from executor.docker.image_calls import RegistryLogin, Transfer
from executor.naming import name_main
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.engine.registry import Registry, start_registry
from tests.engine.server import Server
from tests.fakes.registry import FakeRegistry, serve_fake_registry
from tests.fakes.small_image import build_small_image
from tests.fakes.specs import Remembering, make_spec

SIDECAR, VANISHING = "cronium/runtime-api:latest", "test-vanishing"
USER, PASSWORD = "puller", "correct-horse-battery"
SHOW = "cat /version"


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with start_registry({USER: PASSWORD}) as made:
        yield made


@pytest.fixture(scope="module")
def images(registry: Registry) -> Any:
    """Two runnable images."""
    return [build_small_image(version, is_runnable=True) for version in ("1", "2")]


@pytest.fixture
def forget(docker_client: docker.APIClient) -> Iterator[Callable[[str], None]]:
    """Removes all names of this host from the engine; at the end all that were used."""
    hosts: set[str] = set()

    def remove(host: str) -> None:
        hosts.add(host)
        for image in docker_client.images():
            names = [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]
            if any(name.startswith(f"{host}/") for name in names):
                for name in [*names, image["Id"]]:
                    with suppress(docker.errors.APIError):
                        docker_client.remove_image(name)

    yield remove
    for host in list(hosts):
        remove(host)


@pytest.fixture(scope="module")
def known(server: Server, registry: Registry) -> Iterator[int]:
    body = {"address": registry.host, "username": USER, "secret": PASSWORD}
    made = server.call("POST", "/registries", body, 201)
    assert PASSWORD not in str(made)
    yield int(made["id"])
    server.client.delete(f"/registries/{made['id']}")


def test_a_run_pulls_its_private_image_and_records_what_it_ran(
    server: Server, registry: Registry, known: int, images: Any, forget: Callable[[str], None]
) -> None:
    forget(registry.host)
    registry.put_image("team/private", "1", images[0])
    name = f"{registry.host}/team/private:1"
    slug = server.job(SHOW, image=name)
    first = server.ended(server.launch(slug))
    assert (first["status"], server.text(first["id"])) == ("succeeded", b"1\n")
    exact = f"{registry.host}/team/private@{images[0].digest}"
    assert first["image"]["resolved"] == exact
    messages = {event["kind"]: event["message"] for event in first["events"]}
    assert messages["image_pull"].startswith(f"Pulled {exact} in ")
    second = server.ended(server.launch(slug))
    assert (second["status"], second["image"]["digest"]) == ("succeeded", first["image"]["digest"])
    assert "image_pull" not in server.kinds(second["id"])

    # The secret is nowhere.
    container = str(server.docker.inspect_image(name))
    database = b"".join(path.read_bytes() for path in server.folder.rglob("*") if path.is_file())
    assert PASSWORD not in container
    assert PASSWORD.encode() not in database  # log, database and its journal
    assert PASSWORD not in str(first)


def test_an_image_that_is_removed_before_its_container_exists_is_pulled_again(
    registry: Registry, images: Any, forget: Callable[[str], None], docker_client: docker.APIClient
) -> None:
    """With the networks and the sidecar of the real engine; `remove` is what `docker image prune -a` does."""
    forget(registry.host)
    registry.put_image("team/vanishing", "1", images[0])
    name, engine = f"{registry.host}/team/vanishing:1", Engine()
    login = RegistryLogin(registry.host, USER, PASSWORD)
    spec = make_spec(image=name, sidecar_image=SIDECAR, instance=VANISHING, script=SHOW)
    created = engine.create_container

    def remove_once(container: str, body: dict[str, Any]) -> str:
        if container == name_main(spec.run_id) and len(told.provided) == 1:
            forget(registry.host)
        return created(container, body)

    def provide(spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        engine.image_calls.pull(name, login, transfer=Transfer())

    engine.create_container = remove_once  # type: ignore[method-assign]
    told = Remembering(provide=provide)
    Slot(engine, spec, told, SubnetPool(IPv4Network("10.215.6.0/28")), nullcontext()).run()
    assert told.result is not None
    assert (told.result.status, told.log()) == ("succeeded", b"1\n"), told.result.message
    assert told.provided == [False, True]
    assert engine.list_own_objects(VANISHING) == []


def test_a_tag_that_moves_is_told_and_a_rerun_takes_the_old_image(
    server: Server, registry: Registry, known: int, images: Any, forget: Callable[[str], None]
) -> None:
    forget(registry.host)
    registry.put_image("team/moving", "1", images[0])
    name = f"{registry.host}/team/moving:1"
    slug = server.job(SHOW, image=name, pull_policy="newer")
    first = server.ended(server.launch(slug))
    registry.put_image("team/moving", "1", images[1])
    second = server.ended(server.launch(slug))
    assert [server.text(run["id"]) for run in (first, second)] == [b"1\n", b"2\n"]
    moved = next(event["message"] for event in second["events"] if event["kind"] == "image_moved")
    assert f"{images[0].digest[:19]} in run #1" in moved
    assert f"{images[1].digest[:19]} now" in moved
    again = server.ended(server.call("POST", f"/runs/{first['id']}/rerun", None, 202)["id"])
    assert server.text(again["id"]) == b"1\n"
    forget(registry.host)  # the host loses it: the rerun pulls it by its digest
    gone = server.ended(server.call("POST", f"/runs/{first['id']}/rerun", None, 202)["id"])
    assert (gone["status"], server.text(gone["id"])) == ("succeeded", b"1\n")
    assert gone["image"]["resolved"].endswith(images[0].digest)


def test_a_wrong_password_is_said_with_the_mend(
    server: Server, registry: Registry, known: int, images: Any, forget: Callable[[str], None]
) -> None:
    forget(registry.host)
    registry.put_image("other/x", "1", images[0])
    body = {"address": f"{registry.host}/other", "username": USER, "secret": "not-the-password"}
    made = server.call("POST", "/registries", body, 201)
    try:
        run = server.ended(server.run(SHOW, image=f"{registry.host}/other/x:1"))
    finally:
        server.client.delete(f"/registries/{made['id']}")
    assert (run["status"], run["reason"]) == ("errored", "image_pull_denied")
    assert "Check the registry's user and secret" in run["message"]
    assert "not-the-password" not in str(run)


def test_an_unknown_registry_is_not_asked(server: Server) -> None:
    with serve_fake_registry() as fake:
        run = server.ended(server.run(SHOW, image=f"{fake.host}/team/small:1"))
        assert (run["status"], run["reason"]) == ("errored", "image_missing")
        assert "add its registry" in run["message"]
        assert fake.requests == []


def test_presence_is_not_permission(
    server: Server, registry: Registry, known: int, images: Any, forget: Callable[[str], None]
) -> None:
    forget(registry.host)
    registry.put_image("secret/x", "1", images[0])
    name = f"{registry.host}/secret/x:1"
    slug = server.job(SHOW, image=name)
    run = server.ended(server.launch(slug))
    assert run["status"] == "succeeded"  # the image is on the host now
    body = {"address": f"{registry.host}/secret", "username": USER, "secret": PASSWORD, "is_shared": False}
    made = server.call("POST", "/registries", body, 201)
    try:
        for method, path, sent in (
            ("POST", "/jobs", {"name": "x", "language": "bash", "script": SHOW, "image": name}),
            ("POST", f"/jobs/{slug}/runs", {}),
            ("POST", f"/runs/{run['id']}/rerun", {}),
        ):
            answer = server.client.request(method, path, json=sent)
            assert answer.status_code == 422, f"{method} {path}: {answer.text}"
            assert "not for this project" in answer.text
    finally:
        server.client.delete(f"/registries/{made['id']}")


def test_a_stalled_pull_can_be_cancelled(server: Server, forget: Callable[[str], None]) -> None:
    with serve_fake_registry() as fake:
        fake.images["1"] = build_small_image("stall", padding=200_000)
        fake.fail("blobs", stall=True, larger_than=100_000)
        forget(fake.host)
        made = server.call("POST", "/registries", {"address": fake.host}, 201)
        try:
            run_id = server.run(SHOW, image=f"{fake.name}:1")
            server.until(lambda: "image_pull" in server.kinds(run_id))
            server.until(lambda: fake.find("blobs"))
            started = time.monotonic()
            server.cancel(run_id)
            run = server.ended(run_id)
            assert run["status"] == "cancelled"
            assert time.monotonic() - started < 20
        finally:
            server.client.delete(f"/registries/{made['id']}")


class TestCalls:
    """`ImageCalls` on the real engine, with the faults of a small registry."""

    @pytest.fixture
    def engine(self) -> Engine:
        return Engine()

    @pytest.fixture
    def fake(self, forget: Callable[[str], None]) -> Iterator[FakeRegistry]:
        with serve_fake_registry() as made:
            made.images["1"] = build_small_image(made.host, padding=200_000)
            forget(made.host)
            yield made

    def pull(self, engine: Engine, fake: FakeRegistry, tag: str = "1", login: RegistryLogin | None = None) -> str:
        return engine.image_calls.pull(f"{fake.name}:{tag}", login, transfer=Transfer())

    def test_the_credentials_arrive_as_they_were_given(self, engine: Engine, fake: FakeRegistry) -> None:
        fake.password = "p:ä/ß+=?~" + "x" * 90
        login = RegistryLogin(fake.host, fake.user, fake.password)
        digest = engine.image_calls.resolve_digest(f"{fake.name}:1", login)
        assert digest == fake.images["1"].digest
        assert self.pull(engine, fake, login=login) == digest
        assert {request.credentials for request in fake.requests if request.credentials} == {
            f"{fake.user}:{fake.password}"
        }
        engine.image_calls.check_login(login)
        with pytest.raises(ImagePullDenied):
            engine.image_calls.check_login(RegistryLogin(fake.host, fake.user, "wrong"))
        with pytest.raises(ImagePullDenied):
            engine.image_calls.resolve_digest(f"{fake.name}:1")

    def test_each_fault_has_its_type(self, engine: Engine, fake: FakeRegistry) -> None:
        with pytest.raises(ImageNotFound):
            self.pull(engine, fake, "9")
        fake.fail("manifests", 429, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
        with pytest.raises(ImagePullLimited, match="mirror"):
            self.pull(engine, fake)
        fake.mend()
        fake.fail("blobs", 403, "DENIED", "requested access to the resource is denied", larger_than=100_000)
        with pytest.raises(ImagePullDenied):
            self.pull(engine, fake)
        fake.mend()
        fake.fail("blobs", cut=True)
        with pytest.raises(ImagePullFailed, match="broke off"):
            self.pull(engine, fake)
        fake.mend()
        assert self.pull(engine, fake) == fake.images["1"].digest

    def test_a_stall_ends_after_its_time(
        self, engine: Engine, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(image_calls, "STALL_SECONDS", 2.0)
        fake.fail("blobs", stall=True, larger_than=100_000)
        with pytest.raises(ImagePullStalled, match="no byte arrived for 2 s"):
            self.pull(engine, fake)

    def test_an_abort_from_another_thread_ends_the_pull(self, engine: Engine, fake: FakeRegistry) -> None:
        fake.fail("blobs", stall=True, larger_than=100_000)
        transfer, seen = Transfer(), list[Any]()

        def on_progress(progress: Any) -> None:
            seen.append(progress)
            if fake.find("blobs"):
                transfer.abort()

        with pytest.raises(ImagePullAborted):
            engine.image_calls.pull(f"{fake.name}:1", transfer=transfer, on_progress=on_progress)
        assert seen

    def test_a_refused_push_is_no_success(
        self, engine: Engine, registry: Registry, images: Any, forget: Callable[[str], None]
    ) -> None:
        forget(registry.host)
        reference = f"{registry.host}/pushed/empty:1"
        engine.image_calls.make_empty(reference)
        with pytest.raises(ImagePullDenied, match="could not be pushed"):
            engine.image_calls.push(reference, RegistryLogin(registry.host, USER, "wrong"), transfer=Transfer())
        digest = engine.image_calls.push(reference, RegistryLogin(registry.host, USER, PASSWORD), transfer=Transfer())
        assert registry.find_digest("pushed/empty", "1") == digest


def test_a_check_says_what_works(server: Server, registry: Registry, known: int, images: Any) -> None:
    registry.put_image("team/private", "1", images[0])
    body = {"may_push": True, "check_image": f"{registry.host}/team/private:1"}
    server.call("PATCH", f"/registries/{known}", body)
    server.call("POST", f"/registries/{known}/check", None, 202)

    def read_check() -> Any:
        return server.call("GET", f"/registries/{known}")["check"]

    server.until(lambda: read_check()["results"])
    results = read_check()["results"]
    assert [(row["step"], row["ok"]) for row in results] == [("sign-in", True), ("pull", True), ("push", True)], results
    assert registry.list_tags("cronium-check")
