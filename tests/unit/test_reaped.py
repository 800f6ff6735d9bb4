"""The objects that garbage collection removed are listed in the host's row and displayed."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.runs.models import Run
from cronium_admin.workers.gc import history
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.management.commands import reap as command
from cronium_admin.workers.runner import Runner
from executor.checks.isolation import make_host_label
from executor.docker.models import EngineObject
from tests.conftest import Api
from tests.fakes.engine import FakeEngine

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def seen_now() -> Host:
    return Host.objects.create(name="east", heartbeat_at=timezone.now())


def thing(name: str, run_id: str = "", host: str = "east", kind: str = "container") -> EngineObject:
    return EngineObject(kind, name, run_id or str(uuid4()), "main", host, name)


def kept() -> list[str]:
    return [one["name"] for one in Host.objects.get().reaped]


class TestKeep:
    def test_the_newest_come_first_and_there_is_an_end(self, db: None) -> None:
        seen_now()
        for number in range(history.MAX_ENTRIES):
            history.record_removed("east", [thing(f"old-{number}")], AT)
        history.record_removed("east", [thing("new-1"), thing("new-2")], AT + timedelta(seconds=1))
        assert kept()[:3] == ["new-1", "new-2", f"old-{history.MAX_ENTRIES - 1}"]
        assert len(kept()) == history.MAX_ENTRIES

    def test_the_same_once_more_changes_nothing(self, db: None) -> None:
        seen_now()
        gone = [thing("a"), thing("b")]
        history.record_removed("east", gone, AT)
        history.record_removed("east", gone, AT)
        assert kept() == ["a", "b"]

    def test_nothing_removed_asks_no_database(self, django_assert_num_queries: Any, db: None) -> None:
        with django_assert_num_queries(0):
            history.record_removed("east", [], AT)

    def test_a_host_without_a_row_gets_none(self, db: None) -> None:
        history.record_removed("east", [thing("a")], AT)
        assert not Host.objects.exists()

    def test_what_was_no_runs_names_none(self, db: None) -> None:
        seen_now()
        history.record_removed("east", [thing("a", host=make_host_label("east")), thing("b", "not a run's id")], AT)
        assert [one["run_id"] for one in Host.objects.get().reaped] == ["", ""]


class TestShown:
    @pytest.fixture
    def page(self, people: dict[str, User], run: Run) -> str:
        seen_now()
        gone = [
            thing("there", str(run.pk)),
            thing("gone"),
            thing("canary's", host=make_host_label("east"), kind="network"),
        ]
        history.record_removed("east", gone, AT)
        client = Client()
        client.force_login(people["viewer"])
        return client.get("/hosts/").content.decode().split("Objects removed by garbage collection")[1]

    def test_a_run_that_is_there_is_a_link(self, page: str, run: Run) -> None:
        assert f'href="/runs/{run.pk}/"' in page
        assert page.count("/runs/") == 1
        assert ">deleted</span>" in page
        assert ">none</span>" in page

    def test_kind_name_and_time_stand_there(self, page: str) -> None:
        assert "network" in page
        assert "canary&#x27;s" in page
        assert "2026-01-31 12:00:00 UTC" in page

    def test_the_api_tells_the_same(self, page: str, viewer: Api, run: Run) -> None:
        (host,) = viewer.get("/hosts").json()["items"]
        assert [one["run_id"] for one in host["reaped"]][::2] == [str(run.pk), None]
        assert host["reaped"][2]["kind"] == "network"
        assert host["reaped"][0]["at"] == "2026-01-31T12:00:00Z"

    def test_a_host_that_reaped_nothing_shows_no_table(self, people: dict[str, User]) -> None:
        seen_now()
        client = Client()
        client.force_login(people["viewer"])
        assert "removed by garbage collection" not in client.get("/hosts/").content.decode()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_workers_reaper_keeps_what_it_removed(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    engine = FakeEngine()
    runner = Runner("east", engine)
    seen_now()
    monkeypatch.setattr(
        "cronium_admin.workers.gc.collector.collect_leftovers", lambda *_: [thing("a"), thing("b", kind="network")]
    )
    try:
        runner.gc.collect()
    finally:
        runner.close()
        engine.close()
    assert kept() == ["a", "b"]


@pytest.mark.parametrize(("dry", "names"), [([], ["a"]), (["--dry-run"], [])])
def test_the_command_keeps_what_it_removed(
    db: None, monkeypatch: pytest.MonkeyPatch, dry: list[str], names: list[str]
) -> None:
    seen_now()
    monkeypatch.setattr(command, "make_own_engine", lambda *_: None)
    monkeypatch.setattr(command, "list_leftovers", lambda *_: [thing("a")])
    monkeypatch.setattr(command, "collect_leftovers", lambda *_: [thing("a")])
    call_command("reap", "--host", "east", *dry, stdout=StringIO())
    assert kept() == names
