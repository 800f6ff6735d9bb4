"""Which versions of custom images leave the hosts: the decision, races with jobs and runs, and the removal."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from cronium_admin.core.database.clock import Now
from cronium_admin.image_builds import retention, versions
from cronium_admin.image_builds.launch import start_build
from cronium_admin.images.models import CustomImage, HostDisk, ImageVersion
from cronium_admin.jobs.models import Job
from cronium_admin.registries import service
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.warm.models import WarmSandbox
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.image_builds.leftovers import remove_leftovers
from cronium_admin.workers.images import collector as collector_module
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.images.retention import find_uses
from executor.docker.models import Image
from tests.custom_images import make_ready_image, make_tag, make_version
from tests.fakes.engine import FakeEngine
from tests.users import get_admin

OLD = retention.REMOVAL_DELAY + timedelta(seconds=5)
DIGEST = f"reg.example/team/reports@sha256:{'a' * 64}"


def list_states(image: CustomImage) -> dict[int, str]:
    return dict(image.versions.order_by("number").values_list("number", "status"))


def make_removed_earlier() -> None:
    ImageVersion.objects.filter(status="removed").update(removed_at=Now() - OLD)


@pytest.mark.django_db
class TestDecision:
    def test_why_each_version_stays_or_goes(self, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", tuple(range(1, 10)))
        ImageVersion.objects.filter(number=1).update(pinned=True)
        make_job(slug="old", image="cronium/custom/reports:2")
        launch(make_job(slug="live", image="cronium/custom/reports:3"), get_admin())
        Job.objects.filter(slug="live").update(image="")
        Host.objects.create(name="east")
        WarmSandbox.objects.create(host_id="east", owner="x", queues=",default,", image=make_tag(image, 4), network="x")
        verdicts = retention.explain_versions([image])
        assert {verdict.version.number: verdict.why for verdict in verdicts} == {
            1: "it is pinned",
            2: "the job old names it",
            3: "the run live #1 uses it",
            4: "a waiting sandbox uses it",
            5: "3 newer versions are ready, and nothing names it",
            6: "3 newer versions are ready, and nothing names it",
            7: "one of the newest 3 versions",
            8: "one of the newest 3 versions",
            9: "the newest version",
        }
        assert [verdict.version.number for verdict in verdicts if not verdict.is_needed] == [5, 6]
        assert retention.remove_unneeded() == [make_tag(image, 5), make_tag(image, 6)]
        assert {number for number, state in list_states(image).items() if state == "removed"} == {5, 6}
        assert retention.remove_unneeded() == []

    def test_failed_versions_do_not_count_among_the_newest(self) -> None:
        image = make_ready_image("reports", (1, 2, 3))
        make_version(image, 4, "failed")
        make_version(image, 5, "building")
        assert retention.remove_unneeded() == []

    def test_each_image_counts_its_own_versions(self) -> None:
        first, second = make_ready_image("reports", (1, 2, 3, 4)), make_ready_image("maps", (1, 2, 3))
        assert retention.remove_unneeded() == [make_tag(first, 1)]
        assert list_states(second) == dict.fromkeys((1, 2, 3), "ready")

    @pytest.mark.parametrize("spelling", ["cronium/custom/reports:1", "docker.io/cronium/custom/reports:1"])
    def test_a_job_that_is_saved_after_the_decision_keeps_it(
        self, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, spelling: str
    ) -> None:
        image = make_ready_image("reports", (1, 2, 3, 4))
        decide = retention.explain_versions

        def decide_and_save(images: Any) -> Any:
            decided = decide(images)
            make_job(image=spelling)
            return decided

        monkeypatch.setattr(retention, "explain_versions", decide_and_save)
        assert retention.remove_unneeded() == []
        assert list_states(image)[1] == "ready"

    def test_a_run_a_pin_or_a_sandbox_after_the_decision_keeps_it(self, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", (1, 2, 3))
        decided = {version.number: version for version in image.versions.select_related("image")}
        job = make_job(image="cronium/custom/reports:1")
        launch(job, get_admin())
        Job.objects.update(image="")
        ImageVersion.objects.filter(number=2).update(pinned=True)
        Host.objects.create(name="east")
        WarmSandbox.objects.create(host_id="east", owner="x", queues=",default,", image=make_tag(image, 3), network="x")
        assert [versions.mark_unneeded(decided[number]) for number in (1, 2, 3)] == [False, False, False]
        assert list_states(image) == dict.fromkeys((1, 2, 3), "ready")

    def test_a_job_of_the_same_moment_brings_it_back(self, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", (1, 2, 3, 4, 5))
        retention.remove_unneeded()
        make_job(image="cronium/custom/reports:1")  # its save had begun before
        assert retention.restore_named() == 1
        assert list_states(image) == {1: "ready", 2: "removed", 3: "ready", 4: "ready", 5: "ready"}
        make_removed_earlier()
        make_job(slug="late", image="cronium/custom/reports:2")  # its image may be gone
        assert retention.restore_named() == 0

    def test_one_in_a_registry_stays_ready_and_a_run_can_pull_it(self, make_job: Callable[..., Job]) -> None:
        service.add_registry({"address": "reg.example"}, get_admin())
        image = make_ready_image("reports", (1, 2, 3, 4))
        ImageVersion.objects.filter(number=1).update(pushed_digests={"reg.example": DIGEST})
        [verdict] = [verdict for verdict in retention.explain_versions([image]) if not verdict.is_needed]
        assert verdict.why.endswith("nothing names it; runs can still pull it from reg.example")
        assert retention.remove_unneeded() == []
        place = (image.project_id, "reports", 1)
        assert retention.explain_tags([place])[place].is_due
        run = launch(make_job(image="cronium/custom/reports:1"), get_admin())
        assert run.image_resolved == DIGEST
        assert not retention.explain_tags([place])[place].is_due

    def test_without_its_registry_it_is_removed(self) -> None:
        image = make_ready_image("reports", (1, 2, 3, 4))
        ImageVersion.objects.filter(number=1).update(pushed_digests={"reg.example": DIGEST})
        assert retention.remove_unneeded() == [make_tag(image, 1)]

    def test_the_pulled_copy_of_a_needed_version_stays(self, make_job: Callable[..., Job]) -> None:
        service.add_registry({"address": "reg.example"}, get_admin())
        image = make_ready_image("reports", (1, 2, 3, 4))
        ImageVersion.objects.filter(number=1).update(pushed_digests={"reg.example": DIGEST})
        assert DIGEST not in find_uses(("default",))
        make_job(slug="old", image="cronium/custom/reports:1")
        assert find_uses(("default",))[DIGEST] == "version 1 of the image reports: the job old names it"
        assert list_states(image)[1] == "ready"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestRemoval:
    @pytest.fixture
    def engine(self) -> Iterator[FakeEngine]:
        made = FakeEngine()
        yield made
        made.close()

    @pytest.fixture
    def image(self, engine: FakeEngine) -> CustomImage:
        made = make_ready_image("reports", (1, 2, 3, 4, 5))
        tags = [make_tag(made, number) for number in range(1, 6)]
        engine.pulled |= {tag: f"sha256:{tag}" for tag in tags}
        images = [Image(f"sha256:{tag}", (tag,), 1000) for tag in tags]
        engine.archives.labelled["cronium.origin", "test"] = images
        return made

    @pytest.fixture
    def collector(
        self, engine: FakeEngine, database: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
    ) -> ImageCollector:
        monkeypatch.setattr(collector_module, "measure_disk", lambda engine: (100, 10))
        puller = ImagePuller("east", engine, database)
        return ImageCollector("east", "test", engine, database, puller, ("default",), lambda: True, threading.Event())

    def test_they_go_soon_after_they_were_removed(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage, collector: ImageCollector
    ) -> None:
        collector.collect()
        row = HostDisk.objects.get()
        assert {item["reference"]: item["why"] for item in row.verdicts if item["removable"]} == {
            make_tag(image, 1): "the version was removed",
            make_tag(image, 2): "the version was removed",
        }
        assert row.removable_bytes == 2000
        assert remove_leftovers(engine, database, "test", "east") == []  # a launch may have read them before
        make_removed_earlier()
        assert remove_leftovers(engine, database, "test", "east") == [make_tag(image, 1), make_tag(image, 2)]
        assert set(engine.pulled) == {make_tag(image, number) for number in (3, 4, 5)}
        assert [item["reference"] for item in HostDisk.objects.get().removed] == [
            make_tag(image, 1),
            make_tag(image, 2),
        ]

    def test_a_run_of_the_same_moment_keeps_the_image(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage, job: Job
    ) -> None:
        Job.objects.update(image="cronium/custom/reports:1")
        job.refresh_from_db()
        run = launch(job, get_admin())
        Job.objects.update(image="")
        ImageVersion.objects.filter(number=1).update(status="removed", removed_at=Now() - OLD)
        assert remove_leftovers(engine, database, "test", "east") == []
        assert HostDisk.objects.count() == 0
        Run.objects.filter(pk=run.pk).update(status="succeeded")
        assert remove_leftovers(engine, database, "test", "east") == [make_tag(image, 1)]
        again = rerun(Run.objects.get(pk=run.pk), get_admin())
        assert again.image_digest  # the run ends with "not on this host", unless a registry has it

    def test_nothing_goes_beside_a_build(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage, collector: ImageCollector
    ) -> None:
        ImageVersion.objects.filter(number=2).update(status="removed", removed_at=Now() - OLD)
        _, run = start_build(make_ready_image("maps", ()), get_admin())
        Run.objects.filter(pk=run.pk).update(status="running", host="east")
        collector.collect()
        assert remove_leftovers(engine, database, "test", "east") == []
        assert list_states(image)[1] == "ready"
        # The build of another host does not matter to this one's images.
        assert remove_leftovers(engine, database, "test", "west") == [make_tag(image, 2)]

    def test_an_image_that_a_container_uses_stays(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        retention.remove_unneeded()
        make_removed_earlier()
        monkeypatch.setattr(engine.image_calls, "remove", lambda reference: False)
        assert remove_leftovers(engine, database, "test", "east") == []

    def test_only_images_of_this_installation_go(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage
    ) -> None:
        retention.remove_unneeded()
        make_removed_earlier()
        assert remove_leftovers(engine, database, "other", "east") == []
        assert make_tag(image, 1) in engine.pulled

    def test_the_image_of_a_version_that_failed_or_was_deleted_goes(
        self, engine: FakeEngine, database: DatabaseThreads, image: CustomImage
    ) -> None:
        ImageVersion.objects.filter(number=1).update(status="failed")
        ImageVersion.objects.filter(number=2).delete()
        ImageVersion.objects.filter(number=3).update(status="building", run_id=uuid.uuid4())
        assert remove_leftovers(engine, database, "test", "east") == [make_tag(image, 1), make_tag(image, 2)]
