"""Pulls at the claim: the policy, one pull for all who wait, progress, errors in words, and what runs record."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.images import pulls
from cronium_admin.images.image_tests import request_test
from cronium_admin.images.models import PulledImage
from cronium_admin.jobs.models import Job
from cronium_admin.registries import service
from cronium_admin.registries.models import Registry
from cronium_admin.registries.policies import set_image_policy
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.puller import ImagePuller, Waiter, choose_digest
from cronium_admin.workers.images.rate_limit import read_retry_after
from cronium_admin.workers.images.registry_check import check_registry
from cronium_admin.workers.images.requests import find_requested_kinds
from cronium_admin.workers.images.run_image import RunImage
from cronium_admin.workers.images.task import ImageTask, list_needed_images
from executor.docker.errors import (
    EngineUnreachable,
    ImageMissing,
    ImageNotFound,
    ImagePullAborted,
    ImagePullDenied,
    ImagePullLimited,
    ImagePullStalled,
    ImageRegistryUnreachable,
)
from executor.spec import RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.images import make_digest
from tests.fakes.registry import serve_fake_registry
from tests.fakes.specs import make_spec
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
TOOLS = "reg.example/acme/tools:1"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def registry(transactional_db: None) -> Registry:
    return service.add_registry({"address": "reg.example"}, get_admin())


@pytest.fixture
def puller(engine: FakeEngine, database: DatabaseThreads, registry: Registry) -> ImagePuller:
    return ImagePuller("east", engine, database)


class Told:
    """A waiter that keeps its events and its progress."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.shown: list[str] = []
        self.wanted = True
        self.waiter = Waiter(
            lambda: self.wanted, lambda kind, text: self.events.append((kind, text)), self.shown.append
        )


def spec(image: str = TOOLS, **more: Any) -> RunSpec:
    return replace(make_spec(), image=image, **more)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_missing_image_is_pulled_by_digest_named_and_recorded(engine: FakeEngine, puller: ImagePuller) -> None:
    digest = engine.image_calls.offer(TOOLS, "one")
    told = Told()
    assert puller.provide(spec(), "", told.waiter) is True
    exact = f"reg.example/acme/tools@{digest}"
    assert engine.image_calls.pulled == [exact]
    assert {TOOLS, exact, f"cronium/kept:{digest[7:19]}"} <= set(engine.pulled)
    row = PulledImage.objects.get()
    assert (row.host, row.reference, row.state, row.digest) == ("east", TOOLS, "present", exact)
    assert told.events == [("image_pull", f"Pulling {TOOLS}")]
    assert told.shown == [f"Pulling {TOOLS}: 1.0 of 4.0 MB, 1 of 3 layers", f"Pulled {exact} in 0 s"]
    assert puller.provide(spec(), "", told.waiter) is False  # it is here now
    assert engine.image_calls.pulled == [exact]


def test_a_helper_is_named_to_administrators_only(
    engine: FakeEngine, puller: ImagePuller, registry: Registry, database: DatabaseThreads
) -> None:
    Registry.objects.update(helper="vault-4711")
    with pytest.raises(ImagePullDenied, match=r"credentials of the registry .* can't be read") as caught:
        puller.provide(spec(), "", Told().waiter)
    assert "4711" not in str(caught.value) + PulledImage.objects.get().message
    registry.refresh_from_db()
    [result] = check_registry(registry, engine, database)
    assert "docker-credential-vault-4711" in result["text"]
    assert result["reason"] == "image_pull_denied"


def test_local_images_and_unknown_registries_are_never_pulled(engine: FakeEngine, puller: ImagePuller) -> None:
    assert puller.provide(spec("cronium/runner:python-alpine"), "", Told().waiter) is False
    for image, why in (("10.1.2.3:5000/x:1", "no registry is set up"), ("quay.io/x", "Ask an administrator")):
        with pytest.raises(ImageMissing, match=why):
            puller.provide(spec(image), "", Told().waiter)
    assert engine.image_calls.pulled == []


def test_never_means_never(engine: FakeEngine, puller: ImagePuller, registry: Registry) -> None:
    engine.image_calls.offer(TOOLS, "one")
    with pytest.raises(ImageMissing, match="the job's pull policy is never"):
        puller.provide(spec(), "never", Told().waiter)
    set_image_policy(TOOLS, "never", get_admin())
    with pytest.raises(ImageMissing, match="the image's pull policy is never"):
        puller.provide(spec(), "newer", Told().waiter)
    assert engine.image_calls.pulled == []


def test_newer_pulls_what_is_newer_and_goes_on_with_the_old_one_if_nobody_answers(
    engine: FakeEngine, puller: ImagePuller, registry: Registry
) -> None:
    service.save_registry(registry, {"policy": "newer"}, get_admin())
    first = engine.image_calls.offer(TOOLS, "one")
    assert puller.provide(spec(), "", Told().waiter) is True
    assert puller.provide(spec(), "", Told().waiter, is_prepared=True) is False  # asked, and the same
    second = engine.image_calls.offer(TOOLS, "two")
    assert puller.provide(spec(), "", Told().waiter, is_prepared=True) is True
    assert [name.partition("@")[2] for name in engine.image_calls.pulled] == [first, second]
    engine.image_calls.errors["resolve_digest"] = [ImagePullDenied("refused")]
    told = Told()
    assert puller.provide(spec(), "", told.waiter) is False
    assert told.events == [("image_check_failed", "Using the image that is on this host, which may be old: refused")]


def test_one_pull_serves_all_who_wait(engine: FakeEngine, puller: ImagePuller) -> None:
    engine.image_calls.offer(TOOLS, "one")
    engine.image_calls.gate.clear()
    told = [Told() for _ in range(5)]
    threads = [threading.Thread(target=puller.provide, args=(spec(), "", one.waiter)) for one in told]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(one.events for one in told))
    engine.image_calls.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(engine.image_calls.pulled) == 1
    texts = sorted(one.events[0][1] for one in told)
    assert texts == [f"Pulling {TOOLS}", *[f"Waiting for the pull of {TOOLS}, which another run has begun"] * 4]
    assert all(one.shown[-1].startswith("Pulled ") for one in told)


def test_the_pull_stops_when_the_last_waiter_leaves(engine: FakeEngine, puller: ImagePuller) -> None:
    engine.image_calls.offer(TOOLS, "one")
    engine.image_calls.gate.clear()
    first, second, caught = Told(), Told(), list[type[BaseException]]()

    def provide(told: Told) -> None:
        try:
            puller.provide(spec(), "", told.waiter)
        except ImagePullAborted as error:
            caught.append(type(error))

    threads = [threading.Thread(target=provide, args=(told,)) for told in (first, second)]
    for thread in threads:
        thread.start()
    wait_until(lambda: bool(first.events and second.events))
    first.wanted = False
    threads[0].join(10)
    assert engine.image_calls.aborted == 0
    second.wanted = False
    threads[1].join(10)
    wait_until(lambda: engine.image_calls.aborted == 1)
    assert caught == [ImagePullAborted, ImagePullAborted]
    engine.image_calls.gate.set()
    wait_until(lambda: PulledImage.objects.get().state == "failed")
    assert puller.provide(spec(), "", Told().waiter) is True  # a later run begins another pull


@pytest.mark.parametrize("error", [ImagePullDenied, ImageNotFound, ImagePullStalled])
def test_a_failed_pull_says_why_and_is_recorded(
    engine: FakeEngine, puller: ImagePuller, error: type[ImagePullDenied]
) -> None:
    engine.image_calls.offer(TOOLS, "one")
    engine.image_calls.errors["pull"] = [error("why, and the mend")]
    with pytest.raises(error, match="why, and the mend"):
        puller.provide(spec(), "", Told().waiter)
    row = PulledImage.objects.get()
    assert (row.state, row.reason, row.message) == ("failed", error.reason, "why, and the mend")


def test_a_limited_pull_is_tried_again(
    engine: FakeEngine, puller: ImagePuller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.workers.images.transfer.LIMITED_SECONDS", (0.01, 0.01))
    monkeypatch.setattr("cronium_admin.workers.images.transfer.read_retry_after", lambda registry, reference: None)
    engine.image_calls.offer(TOOLS, "one")
    engine.image_calls.errors["pull"] = [ImagePullLimited("limited."), ImagePullLimited("limited.")]
    told = Told()
    assert puller.provide(spec(), "", told.waiter) is True
    assert told.shown[0] == "limited. The next attempt is in 0 s."
    other = "reg.example/acme/other:1"
    engine.image_calls.offer(other, "two")
    engine.image_calls.errors["pull"] = [ImagePullLimited("limited.")] * 3
    with pytest.raises(ImagePullLimited):
        puller.provide(spec(other), "", Told().waiter)


def test_credentials_are_read_for_the_pull_and_not_sent_over_plain_http(
    engine: FakeEngine, puller: ImagePuller, registry: Registry
) -> None:
    service.save_registry(registry, {"username": "bot", "secret": "s3cret-s3cret"}, get_admin())
    engine.image_calls.offer(TOOLS, "one")
    puller.provide(spec(), "", Told().waiter)
    [login] = engine.image_calls.logins
    assert login is not None
    assert (login.username, login.password) == ("bot", "s3cret-s3cret")
    engine.image_calls.insecure.add("reg.example")
    engine.image_calls.offer("reg.example/acme/other:1", "two")
    with pytest.raises(ImagePullDenied, match="insecure-registries"):
        puller.provide(spec("reg.example/acme/other:1"), "", Told().waiter)
    assert "s3cret" not in PulledImage.objects.get(reference="reg.example/acme/other:1").message


def test_a_rerun_pulls_the_exact_image_after_its_tag_has_moved(engine: FakeEngine, puller: ImagePuller) -> None:
    old, _ = engine.image_calls.offer(TOOLS, "one"), engine.image_calls.offer(TOOLS, "two")
    exact = f"reg.example/acme/tools@{old}"
    again = spec(image_digest=make_digest("gone"), image_resolved=exact)
    assert puller.provide(again, "", Told().waiter) is True
    assert engine.image_calls.pulled == [exact]
    assert TOOLS not in engine.pulled  # the tag is not moved back


def test_a_closed_puller_ends_all_waiting(engine: FakeEngine, puller: ImagePuller) -> None:
    engine.image_calls.offer(TOOLS, "one")
    engine.image_calls.gate.clear()
    told, errors = Told(), list[BaseException]()

    def provide() -> None:
        try:
            puller.provide(spec(), "", told.waiter)
        except ImagePullAborted as error:
            errors.append(error)

    thread = threading.Thread(target=provide)
    thread.start()
    wait_until(lambda: bool(told.events))
    puller.close()
    thread.join(10)
    assert len(errors) == 1
    with pytest.raises(ImagePullAborted):
        puller.provide(spec(), "", Told().waiter)


def make_task(
    puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads, queues: tuple[str, ...] = ("default",)
) -> ImageTask:
    """The images' task of the host east, which serves `queues`."""
    return ImageTask(
        "east", engine, database, puller, lambda: None, lambda: None, lambda: queues, lambda: True, threading.Event()
    )


class TestOfARun:
    @pytest.fixture
    def job(self, job: Job, registry: Registry) -> Job:
        Job.objects.filter(pk=job.pk).update(image=TOOLS)
        job.refresh_from_db()
        return job

    def test_a_tag_that_moved_is_an_event(self, job: Job, puller: ImagePuller, database: DatabaseThreads) -> None:
        earlier = launch(job, get_admin())
        exact = f"reg.example/acme/tools@{make_digest('one')}"
        Run.objects.filter(pk=earlier.pk).update(image_digest="sha256:1", image_resolved=exact)
        image = RunImage(launch(job, get_admin()), puller, database)
        assert image.describe_start("sha256:1", (exact,)) == (exact, "")
        # Another image store calls the same image differently.
        assert image.describe_start("sha256:9", (exact,)) == (exact, "")
        other = f"reg.example/acme/tools@{make_digest('two')}"
        resolved, moved = image.describe_start("sha256:2", (other,))
        assert resolved == other
        assert moved.startswith(f"{TOOLS} is another image than in the job's last run with it: sha256:")
        assert "in run #1" in moved

    def test_progress_replaces_the_message_of_one_event(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads
    ) -> None:
        run = launch(job, get_admin())
        engine.image_calls.offer(TOOLS, "one")
        assert RunImage(run, puller, database).provide(spec(), lambda: True, is_prepared=False) is True
        [event] = RunEvent.objects.filter(run=run, kind="image_pull")
        assert event.message.startswith("Pulled reg.example/acme/tools@sha256:")

    @pytest.mark.parametrize("pinned", [False, True])
    def test_an_image_that_was_removed_is_pulled_again_and_the_run_says_so(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads, pinned: bool
    ) -> None:
        run = launch(job, get_admin())
        digest = engine.image_calls.offer(TOOLS, "one")
        exact = f"reg.example/acme/tools@{digest}"
        image = RunImage(run, puller, database)
        wanted = spec(image_digest=make_digest("elsewhere"), image_resolved=exact) if pinned else spec()
        assert image.provide(wanted, lambda: True) is True
        assert image.provide(wanted, lambda: True, is_again=True) is False  # it is there: nothing is said
        engine.pulled.clear()
        assert image.provide(wanted, lambda: True, is_again=True) is True
        assert engine.image_calls.pulled == [exact, exact]
        told = RunEvent.objects.filter(run=run, kind__startswith="image_").order_by("at", "id")
        kinds = [(event.kind, event.message) for event in told]
        assert [kind for kind, _ in kinds] == ["image_pull", "image_removed", "image_pull"]
        assert kinds[1][1].startswith("The image was removed from the host before")
        assert all(message.startswith(f"Pulled {exact}") for _, message in (kinds[0], kinds[2]))

    def test_an_image_that_was_removed_is_pulled_again_only_if_its_rules_still_allow_it(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads
    ) -> None:
        run = launch(job, get_admin())
        engine.image_calls.offer(TOOLS, "one")
        image = RunImage(run, puller, database)
        assert image.provide(spec(), lambda: True) is True
        engine.pulled.clear()
        Registry.objects.update(may_pull=False)
        with pytest.raises(ImageMissing, match="is not used for pulls"):
            image.provide(spec(), lambda: True, is_again=True)
        assert not RunEvent.objects.filter(run=run, kind="image_removed").exists()
        assert len(engine.image_calls.pulled) == 1

    def test_the_hosts_queues_decide_what_is_prefetched(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads
    ) -> None:
        assert list_needed_images(("default",)) == [TOOLS]
        assert list_needed_images(("gpu",)) == []
        engine.image_calls.offer(TOOLS, "one")
        task = make_task(puller, engine, database)
        task.run_once()
        wait_until(lambda: TOOLS in engine.pulled)
        Job.objects.update(enabled=False)
        assert list_needed_images(("default",)) == []

    def test_a_failed_prefetch_waits_longer_each_time(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads
    ) -> None:
        task = make_task(puller, engine, database)
        task.run_once()
        wait_until(lambda: task._backoff.get(TOOLS) == 60.0)
        task._prefetch_at = 0.0
        task.run_once()
        time.sleep(0.05)
        assert task._backoff[TOOLS] == 60.0  # not tried before its time
        task._not_before[TOOLS] = task._prefetch_at = 0.0
        task.run_once()
        wait_until(lambda: task._backoff.get(TOOLS) == 120.0)

    def test_a_requested_pull_is_made_or_refused_in_words(
        self, job: Job, puller: ImagePuller, engine: FakeEngine, database: DatabaseThreads
    ) -> None:
        task = make_task(puller, engine, database, queues=())
        engine.image_calls.offer(TOOLS, "one")
        assert pulls.request_pull(TOOLS, "east") == ["east"]
        pulls.request_pull("quay.io/x:1", "east")
        task.run_once()
        wait_until(lambda: PulledImage.objects.get(reference=TOOLS).state == "present")
        refused = PulledImage.objects.get(reference="quay.io/x:1")
        assert (refused.state, refused.reason) == ("failed", "image_missing")


def test_one_query_finds_what_is_requested(registry: Registry, django_assert_num_queries: Any) -> None:
    def find() -> set[str]:
        with django_assert_num_queries(1):
            return find_requested_kinds("east")

    assert find() == set()
    request_test("bash", TOOLS)
    assert find() == {"test"}
    pulls.request_pull(TOOLS, "west")
    assert find() == {"test"}, "the pull is another host's"
    pulls.request_pull(TOOLS, "east")
    Registry.objects.filter(pk=registry.pk).update(check_requested_at=Now())
    assert find() == {"check", "pull", "test"}


UNANSWERED = "reg.example/cronium-check:latest could not be pulled: no route."


class TestCheck:
    def test_each_step_says_what_it_did(
        self, engine: FakeEngine, database: DatabaseThreads, registry: Registry
    ) -> None:
        engine.image_calls.offer(TOOLS, "one")
        values = {"username": "bot", "secret": "s3cret-s3cret", "may_push": True, "check_image": TOOLS}
        registry = service.save_registry(registry, values, get_admin())
        results = check_registry(registry, engine, database)
        assert [(row["step"], row["ok"]) for row in results] == [("sign-in", True), ("pull", True), ("push", True)]
        assert "reg.example/cronium-check:latest" not in engine.pulled
        engine.image_calls.errors = {"check_login": [ImagePullDenied("wrong password")]}
        assert check_registry(registry, engine, database) == [
            {"step": "sign-in", "ok": False, "text": "wrong password", "reason": "image_pull_denied"}
        ]
        engine.image_calls.errors = {"push": [ImagePullDenied("read only")]}
        assert [row["ok"] for row in check_registry(registry, engine, database)] == [True, True, False]
        assert "reg.example/cronium-check:latest" not in engine.pulled

    def test_only_images_of_the_registry_get_its_credentials(
        self, engine: FakeEngine, database: DatabaseThreads, registry: Registry
    ) -> None:
        engine.image_calls.offer("evil.example/x:1", "one")
        with pytest.raises(ValidationError, match="image of this registry"):
            service.save_registry(registry, {"check_image": "evil.example/x:1"}, get_admin())
        Registry.objects.update(check_image="evil.example/x:1")  # as an older version stored it
        registry.refresh_from_db()
        pull = check_registry(registry, engine, database)[1]
        assert (pull["step"], pull["ok"]) == ("pull", False)
        assert "not sent the credentials" in pull["text"]

    def test_what_is_not_checked_is_said(
        self, engine: FakeEngine, database: DatabaseThreads, registry: Registry
    ) -> None:
        assert [row["ok"] for row in check_registry(registry, engine, database)] == [True, None, None]

    def test_a_registry_without_credentials_that_does_not_answer_fails(
        self, engine: FakeEngine, database: DatabaseThreads, registry: Registry
    ) -> None:
        engine.image_calls.errors = {"resolve_digest": [ImageRegistryUnreachable(UNANSWERED)]}
        assert check_registry(registry, engine, database) == [
            {"step": "sign-in", "ok": False, "text": "reg.example: no route.", "reason": "registry_unreachable"}
        ]
        engine.image_calls.errors = {"resolve_digest": [ImagePullDenied("no such image, or not for you")]}
        assert check_registry(registry, engine, database)[0]["ok"]


def test_of_several_registries_the_one_of_the_name_counts() -> None:
    digests = ("other.example/x@sha256:1", "reg.example/acme/tools@sha256:2")
    assert choose_digest(TOOLS, digests) == "reg.example/acme/tools@sha256:2"
    assert choose_digest("alpine:3", ("alpine@sha256:3",)) == "docker.io/library/alpine@sha256:3"
    assert choose_digest("cronium/runner:python-alpine", ("cronium/runner@sha256:4",)) == ""


def test_an_engine_that_is_away_is_not_a_failed_check(
    engine: FakeEngine, puller: ImagePuller, registry: Registry
) -> None:
    service.save_registry(registry, {"policy": "newer"}, get_admin())
    engine.image_calls.offer(TOOLS, "one")
    puller.provide(spec(), "", Told().waiter)
    engine.image_calls.errors["resolve_digest"] = [EngineUnreachable("away")]
    with pytest.raises(EngineUnreachable):
        puller.provide(spec(), "", Told().waiter)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"), [("7", 7.0), ("0", 1.0), ("86400", 120.0), ("", None), ("soon", None)]
    )
    def test_the_registrys_answer_counts_within_bounds(self, header: str, seconds: float | None) -> None:
        with serve_fake_registry() as fake:
            fake.fail("manifests", 429, "TOOMANYREQUESTS", "x", headers={"Retry-After": header} if header else {})
            assert read_retry_after(Registry(address=fake.host), f"{fake.name}:1") == seconds
            assert fake.find("manifests")[0].path == "/v2/team/small/manifests/1"

    def test_a_date_is_a_time_to_wait_until(self) -> None:
        with serve_fake_registry() as fake:
            at = format_datetime(database_now() + timedelta(seconds=60), usegmt=True)
            fake.fail("manifests", 429, "TOOMANYREQUESTS", "x", headers={"Retry-After": at})
            assert 50 < (read_retry_after(Registry(address=fake.host), f"{fake.name}:1") or 0) <= 60

    def test_without_a_limit_or_an_answer_it_is_unknown(self) -> None:
        with serve_fake_registry() as fake:
            registry = Registry(address=fake.host)
            assert read_retry_after(registry, f"{fake.name}:1") is None
        assert read_retry_after(registry, f"{fake.name}:1") is None
