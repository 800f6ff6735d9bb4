"""Garbage collection of pulled images: what stays and why, watermarks, and what is never removed."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronium_admin.images import pulls
from cronium_admin.images.models import HostDisk, PulledImage
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images import collector as module
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.images.retention import PresentImage, choose_removable
from tests.fakes.engine import FakeEngine
from tests.fakes.images import make_digest
from tests.users import get_admin

NOW = datetime(2026, 1, 31, tzinfo=UTC)
WEEK = timedelta(days=7)


def present(name: str, days: float) -> PresentImage:
    return PresentImage(name, f"{name}@sha256:1", f"sha256:{name}", 10, NOW - timedelta(days=days), (name,))


class TestDecide:
    def test_least_recently_used_go_first_and_recent_ones_stay(self) -> None:
        verdicts = choose_removable(
            [present("b", 20), present("a", 30), present("c", 1)], {}, NOW, WEEK, is_urgent=False
        )
        assert [(verdict.image.reference, verdict.is_removable) for verdict in verdicts] == [
            ("a", True),
            ("b", True),
            ("c", False),
        ]
        assert [verdict.why for verdict in verdicts] == [
            "nothing needs it; last used 30 days ago",
            "nothing needs it; last used 20 days ago",
            "used within the last 7 days",
        ]

    def test_a_nearly_full_disk_takes_recent_ones_but_none_that_is_needed(self) -> None:
        uses = {"a": "the job x uses it"}
        verdicts = choose_removable([present("a", 30), present("c", 1)], uses, NOW, WEEK, is_urgent=True)
        assert [(verdict.image.reference, verdict.is_removable) for verdict in verdicts] == [("a", False), ("c", True)]

    @pytest.mark.parametrize("name", ["a", "a@sha256:1", "sha256:a"])
    def test_a_use_may_name_the_reference_the_digest_or_the_id(self, name: str) -> None:
        [verdict] = choose_removable([present("a", 30)], {name: "because"}, NOW, WEEK, is_urgent=True)
        assert (verdict.is_removable, verdict.why) == (False, "because")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestCollector:
    @pytest.fixture
    def engine(self) -> Iterator[FakeEngine]:
        made = FakeEngine()
        yield made
        made.close()

    @pytest.fixture
    def collector(self, engine: FakeEngine, database: DatabaseThreads) -> ImageCollector:
        puller = ImagePuller("east", engine, database)
        return ImageCollector("east", "test", engine, database, puller, ("default",), lambda: True, threading.Event())

    @pytest.fixture
    def disk(self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
        """A disk of 100 bytes, on which each name of a pulled image takes `each` bytes beside `base`."""
        values = {"base": 60, "each": 1}

        def measure(_: Any) -> tuple[int, int]:
            return 100, values["base"] + values["each"] * len(engine.pulled)

        monkeypatch.setattr(module, "measure_disk", measure)
        return values

    def bring(self, engine: FakeEngine, name: str, days: int) -> str:
        """An image that was pulled and last used `days` ago."""
        reference, digest = f"reg.example/{name}:1", make_digest(name)
        exact = f"reg.example/{name}@{digest}"
        for each in (reference, exact, f"cronium/kept:{digest[7:19]}"):
            engine.pulled[each] = f"sha256:{name}"
        pulls.store_present("east", reference, exact, f"sha256:{name}")
        used = module.retention.read_now() - timedelta(days=days)
        PulledImage.objects.filter(reference=reference).update(last_used_at=used, changed_at=used)
        return reference

    def test_below_the_mark_nothing_goes_and_the_page_knows_what_could(
        self, engine: FakeEngine, collector: ImageCollector, disk: dict[str, int]
    ) -> None:
        self.bring(engine, "old", 30)
        collector.collect()
        row = HostDisk.objects.get()
        assert (row.percent, row.removed, row.note) == (63, [], "")
        [verdict] = row.verdicts
        assert (verdict["reference"], verdict["removable"]) == ("reg.example/old:1", True)
        assert "reg.example/old:1" in engine.pulled

    def test_above_the_mark_the_oldest_go_until_the_low_mark(
        self, engine: FakeEngine, collector: ImageCollector, disk: dict[str, int]
    ) -> None:
        names = [self.bring(engine, f"n{number}", 30 - number) for number in range(4)]
        disk["base"] = 76  # 88 %: two images of three names go
        collector.collect()
        left = [name for name in names if name in engine.pulled]
        assert left == names[3:]
        row = HostDisk.objects.get()
        assert [item["reference"] for item in row.removed] == names[:3]
        assert row.removed[0]["why"].startswith("the disk was 88 % full; nothing needs it")
        assert set(PulledImage.objects.values_list("reference", flat=True)) == set(left)

    def test_what_is_needed_stays_on_a_full_disk_and_it_says_so(
        self, engine: FakeEngine, collector: ImageCollector, disk: dict[str, int], job: Job
    ) -> None:
        of_job, of_run = self.bring(engine, "job", 30), self.bring(engine, "run", 30)
        Job.objects.update(image=of_run)
        job.refresh_from_db()
        launch(job, get_admin())
        Job.objects.update(image=of_job)
        disk["base"] = 92
        collector.collect()
        row = HostDisk.objects.get()
        assert {item["reference"]: item["why"] for item in row.verdicts} == {
            of_job: f"the job {job.slug} uses it",
            of_run: f"the run {job.slug} #1 uses it",
        }
        assert row.note.startswith("The disk is still full")
        assert {of_job, of_run} <= set(engine.pulled)

    def test_an_image_that_a_container_uses_stays(
        self, engine: FakeEngine, collector: ImageCollector, disk: dict[str, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = self.bring(engine, "busy", 30)
        monkeypatch.setattr(engine.image_calls, "remove", lambda reference: False)
        disk["base"] = 92
        collector.collect()
        assert PulledImage.objects.filter(reference=name).exists()
        assert HostDisk.objects.get().removed == []

    def test_the_image_before_a_tag_moved_is_known_and_can_go(
        self, engine: FakeEngine, collector: ImageCollector, disk: dict[str, int]
    ) -> None:
        reference = self.bring(engine, "moving", 30)
        before = PulledImage.objects.get().digest
        after = f"reg.example/moving@{make_digest('after')}"
        engine.pulled[after] = engine.pulled[reference] = "sha256:after"
        pulls.store_present("east", reference, after, "sha256:after")
        assert set(PulledImage.objects.values_list("reference", "digest")) == {(before, before), (reference, after)}
        PulledImage.objects.filter(reference=before).update(changed_at=module.retention.read_now() - timedelta(days=30))
        PulledImage.objects.filter(reference=reference).update(last_used_at=module.retention.read_now())
        disk["base"] = 85
        collector.collect()
        assert before not in engine.pulled
        assert {reference, after} <= set(engine.pulled)

    def test_an_engine_elsewhere_has_no_disk_here(self, engine: FakeEngine, collector: ImageCollector) -> None:
        engine.is_local = False
        self.bring(engine, "old", 30)
        collector.collect()
        row = HostDisk.objects.get()
        assert (row.percent, row.total_bytes) == (None, None)
        assert "reg.example/old:1" in engine.pulled

    def test_nothing_goes_during_a_pull(
        self,
        engine: FakeEngine,
        collector: ImageCollector,
        disk: dict[str, int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        name = self.bring(engine, "old", 30)
        disk["base"] = 92
        monkeypatch.setattr(collector._puller, "count_pulls", lambda: 1)
        collector.collect()
        assert name in engine.pulled
        assert HostDisk.objects.get().note == "Nothing is removed during a pull."
