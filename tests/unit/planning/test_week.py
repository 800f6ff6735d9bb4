"""The week ahead: its load, its herds, what a user sees of it, and the bounds of its computing."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.planning import week as week_module
from cronium_admin.planning.week import compute_week
from cronium_admin.runs.durations import measure_durations
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Schedule
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.unit.schedules.conftest import at, store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db
NOW = at("2027-03-27T12:30")
CURSOR = "2027-03-27T12:30"


def store(job: Job, rule: str, **values: Any) -> Schedule:
    values = {"name": f"schedule {Schedule.objects.count()}", **values}
    return store_schedule(job, rule, cursor=values.pop("cursor", CURSOR), **values)


def finish(job: Job, *seconds: int, status: str = "succeeded") -> None:
    for length in seconds:
        run = launch(job, get_admin())
        end = run.created_at + timedelta(seconds=length)
        Run.objects.filter(pk=run.pk).update(status=status, started_at=run.created_at, finished_at=end)


def make_host(name: str = "east", capacity: int = 2, **values: Any) -> None:
    Host.objects.create(name=name, capacity=capacity, heartbeat_at=database_now(), queues=["default"], **values)


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_median_durations(make_job: Callable[..., Job]) -> None:
    quick, failing, fresh = make_job(), make_job(), make_job()
    finish(quick, 10, 20, 300)
    finish(failing, 5, status="failed")
    with CaptureQueriesContext(connection) as captured:
        assert measure_durations({quick.pk, failing.pk, fresh.pk}) == {quick.pk: 20.0}
    assert len(captured) == 2


def test_the_load_of_a_week_with_a_change_of_the_clock(make_job: Callable[..., Job]) -> None:
    job = make_job()
    finish(job, 600)
    store(job, "*/30 * * * *", timezone="Europe/Berlin", blackouts="04:00-05:00")
    make_host()
    week = compute_week("Europe/Berlin", NOW)
    assert len(week.hours) == 7 * 24 - 1
    queue = week.queues[0]
    assert (queue.name, queue.slots, queue.limit, queue.capacity) == ("default", 2, None, 2)
    found = {
        (hour.day - week.hours[0].day, hour.hour): load for hour, load in zip(week.hours, queue.loads, strict=True)
    }
    # Now is 13:30 local, whose run is not later than now.
    assert [(load.runs, load.minutes, load.peak) for load in (found[0, 13], found[0, 14])] == [(0, 0, 0), (2, 20, 1)]
    assert (1, 2) not in found
    assert [found[1, hour].runs for hour in (1, 3, 4, 5)] == [2, 2, 0, 2]
    assert week.assumed == set()


def test_a_run_each_second_is_not_listed(make_job: Callable[..., Job]) -> None:
    store(make_job(), "* * * * * *")
    week = compute_week("UTC", NOW)
    assert week.queues[0].starts == []
    load = week.queues[0].loads[20]
    assert (round(load.runs), load.minutes, load.peak) == (3600, 60, 1)
    assert week.assumed == {0}


def test_schedules_with_equal_rules_are_computed_once(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    for _ in range(4):
        store(job, "0 2 * * *")
    store(job, "H 2 * * *")
    computed: list[object] = []
    real = week_module.compute_times
    monkeypatch.setattr(week_module, "compute_times", lambda *given: computed.append(given) or real(*given))
    week = compute_week("UTC", NOW)
    assert len(computed) == 2
    assert sum(load.runs for load in week.queues[0].loads) == 5 * 6


def test_the_bounds_are_named(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, admin: Api) -> None:
    job = make_job()
    for _ in range(5):
        store(job, "0 2 * * *")
    monkeypatch.setattr(week_module, "MAX_SCHEDULES", 3)
    assert compute_week("UTC", NOW).left_out == 2
    monkeypatch.setattr(week_module, "MAX_TIMES", 15)
    week = compute_week("UTC", NOW)
    # Six runs and the first one after the week each: two schedules fit, and the third is spread over the days.
    assert (week.left_out, week.spread, len(week.queues[0].starts)) == (2, 1, 12)
    assert round(sum(load.runs for load in week.queues[0].loads), 6) == 18


def test_limit_disabled_and_jitter(make_job: Callable[..., Job]) -> None:
    job, off = make_job(), make_job(enabled=False)
    store(off, "0 2 * * *")
    store(job, "0 3 * * *", enabled=False)
    jittered = store(job, "0 4 * * *", jitter_seconds=3000)
    make_host()
    make_host("west", 7, draining=True)
    QueueLimit.objects.create(queue="default", max_running=1)
    week = compute_week("UTC", NOW)
    assert [schedule.pk for schedule in week.schedules] == [jittered.pk]
    assert len({start.minute for start in week.queues[0].starts}) > 1
    assert (week.queues[0].slots, week.queues[0].capacity) == (2, 1)


@pytest.fixture
def herd(make_job: Callable[..., Job]) -> list[Schedule]:
    job = make_job(name="report")
    cursor = f"{database_now():%Y-%m-%dT%H:%M:%S}"
    return [store(job, "0 2 * * *", cursor=cursor, name=f"at two {number}") for number in range(6)]


def test_the_api(admin: Api, herd: list[Schedule]) -> None:
    make_host()
    answer = admin.get("/schedules/week?timezone=UTC")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["timezone"], body["assumed"], body["left_out"]) == ("UTC", 6, 0)
    queue = body["queues"][0]
    assert (queue["name"], queue["slots"], queue["limit"], queue["capacity"]) == ("default", 2, None, 2)
    assert {hour["peak"] for hour in queue["hours"] if hour["local"].endswith("02:00:00")} == {6}
    [found] = body["herds"]
    assert (found["queue"], found["time"], found["runs"], found["others"]) == ("default", "02:00", 6, 0)
    offers = [row["offers"] for row in found["schedules"]]
    assert all(offer[0]["rule"] == "H 2 * * *" for offer in offers)
    assert len({offer[1]["minute"] for offer in offers}) == 6
    wrong = admin.get("/schedules/week?timezone=Mars/Base")
    assert wrong.status_code == 422
    assert "not a time zone" in wrong.json()["fields"]["timezone"][0]


def test_the_page_and_its_offer(people: dict[str, User], herd: list[Schedule]) -> None:
    editor = sign_in(people["editor"])
    page = unescape(editor.get(reverse("planning:week")).content.decode())
    assert "6 runs start at once in the queue default" in page
    assert "6 schedules of jobs without a successful run count 60 s a run" in page
    link = re.search(r'href="(/schedules/\d+/edit/\?rule=[^"]*)"', page)
    assert link is not None
    form = unescape(editor.get(link[1]).content.decode())
    assert 'value="H 2 * * *"' in form
    assert "What saving changes" in form
    assert not Schedule.objects.exclude(rule="0 2 * * *").exists()
    assert "?rule=" not in unescape(sign_in(people["viewer"]).get(reverse("planning:week")).content.decode())
    wrong = editor.get(reverse("planning:week") + "?timezone=Mars/Base")
    assert wrong.status_code == 422
    assert "not a time zone" in wrong.content.decode()


def test_the_hint(people: dict[str, User], herd: list[Schedule]) -> None:
    editor, job = sign_in(people["editor"]), herd[0].job

    def ask(**values: str) -> str:
        typed = {"job": job.slug, "kind": "cron", "rule": "0 2 * * *", "timezone": "UTC", **values}
        return unescape(editor.post(reverse("planning:hint"), typed).content.decode())

    assert "it starts together with 6 other schedules of the queue default" in ask()
    assert "At 02:00 it starts together with 5 other schedules" in ask(schedule=str(herd[0].pk))
    assert "H 2 * * *" in ask(schedule=str(herd[0].pk))
    for harmless in ({"rule": "7 2 * * *"}, {"rule": "nonsense"}, {"rule": "* * * * * *"}, {"timezone": "Mars"}):
        assert ask(**harmless).strip() == ""
    Schedule.objects.filter(pk__in=[row.pk for row in herd[:3]]).delete()
    assert ask().strip() == ""


def test_queries_do_not_grow(admin: Api, make_job: Callable[..., Job]) -> None:
    counts = []
    for _ in range(2):
        for number in range(3):
            store(make_job(queue=f"queue-{number}"), "0 2 * * *")
        with CaptureQueriesContext(connection) as captured:
            compute_week("UTC", NOW)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 7
