"""The home page: its counters, what it shows of failing and live runs, to whom, and at which cost."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.expectations.models import Incident
from cronium_admin.home import tallies
from cronium_admin.home.bars import HEIGHT, build_day_bars
from cronium_admin.home.figures import build_periods
from cronium_admin.home.tallies import Tally, clear_tallies, fetch_day, fetch_month
from cronium_admin.jobs.examples import EXAMPLES
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import set_pin
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.schedules.models import Schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db
MakeJob = Callable[..., Job]
ERROR = {"text": "KeyError: 'vat_id'", "line": 7, "script_line": 3, "file": "script.py"}


@pytest.fixture(autouse=True)
def _fresh_tallies() -> Iterator[None]:
    clear_tallies()
    yield
    clear_tallies()


def start(job: Job, **columns: Any) -> Run:
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, started_at=timezone.now(), **columns)
    run.refresh_from_db()
    return run


def end(job: Job, status: str = "failed", times: int = 1, **columns: Any) -> Run:
    for _ in range(times):
        run = start(job)
        reason = "exit_code" if status == "failed" else "x"
        state_machine.finish(run.pk, run.lease_epoch, Ending(Status(status), reason, "The script exited with code 1."))
        Run.objects.filter(pk=run.pk).update(**columns)
    return run


def open_page(user: User, path: str = "/") -> str:
    client = Client()
    client.force_login(user)
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def make_schedule(job: Job, hours: float) -> Schedule:
    at = timezone.now() + timedelta(hours=hours)
    return Schedule.objects.create(
        job=job, project=job.project, name="s", rule="0 2 * * *", owner=get_admin(), next_at=at, due_at=at
    )


def test_the_counters_link_to_the_list_of_jobs(people: Any, make_job: MakeJob) -> None:
    end(make_job())
    end(make_job(), "succeeded")
    start(make_job())
    page = open_page(people["viewer"])
    for state in ("failing", "running", "waiting", "ok", "never", "disabled"):
        assert f'href="/jobs/?state={state}"' in page


def test_failing_jobs_worst_first_with_their_error(people: Any, make_job: MakeJob) -> None:
    once, often = make_job(name="Once"), make_job(name="Often")
    run = end(once, error=ERROR)
    end(often, times=3, error={**ERROR, "text": "HTTP 503"})
    page = open_page(people["editor"])
    assert page.index("Often") < page.index("Once")
    assert "KeyError: &#x27;vat_id&#x27;" in page
    assert f'href="/runs/{run.pk}/#L7"' in page, "one click to the log at the error"
    assert f'href="/jobs/{once.slug}/edit/#line-3"' in page
    assert f'action="/runs/launch/{once.slug}/"' in page


def test_jobs_that_fail_for_the_same_reason_are_folded(people: Any, make_job: MakeJob) -> None:
    for number in range(3):
        end(make_job(), error={**ERROR, "text": f"ConnectionError: erp.internal:{5000 + number} refused"})
    page = open_page(people["viewer"])
    assert page.count("ConnectionError") == 2, "the text and its title"
    assert "3 jobs" in page


def test_who_may_only_look_sees_no_acts(people: Any, make_job: MakeJob) -> None:
    job = make_job()
    end(job)
    start(make_job())
    page = open_page(people["viewer"])
    assert "/edit/" not in page
    assert "/cancel/" not in page
    assert "/runs/launch/" not in page
    assert "/cancel/" in open_page(people["operator"])


def test_a_member_of_one_project_sees_that_only(make_job: MakeJob) -> None:
    south = Project.objects.create(name="South", slug="south")
    own, other = make_job(name="Own job", project=south), make_job(name="Other job")
    for job in (own, other):
        end(job)
        start(job)
        make_schedule(job, 1)
    member = User.objects.create_user("sam", password="x", role="")
    Membership.objects.create(user=member, project=south, role="operator")
    set_pin(member, own, True)
    set_pin(member, other, True)
    page = open_page(member)
    assert "Own job" in page
    assert "Other job" not in page
    assert "/hosts/" not in page
    assert [tally.number for tally in fetch_day(member)][-1] == 1
    stranger = User.objects.create_user("kim", password="x", role="")
    client = Client()
    client.force_login(stranger)
    page = client.get("/").content.decode()
    assert "No jobs yet" in page
    assert "Own job" not in page + client.get("/home/now/").content.decode()


def test_nothing_is_wrong(people: Any, make_job: MakeJob) -> None:
    job = make_job()
    end(job, "succeeded", 25)
    assert "no run has failed" in open_page(people["viewer"])
    end(job)
    end(job, "succeeded")
    assert "All fine since" in open_page(people["viewer"])


def test_incidents_and_the_next_times(people: Any, make_job: MakeJob) -> None:
    job = make_job(name="Nightly")
    now = timezone.now()
    Incident.objects.create(job=job, kind="start_by", due_at=now, expected_from=now, reason="It has not started")
    jobs = [make_job(name=f"Next {number}") for number in range(7)]
    for number, each in enumerate(jobs):
        make_schedule(each, number + 1)
    page = open_page(people["viewer"])
    assert "It has not started" in page
    assert [f"Next {number}" in page for number in range(7)] == [True] * 5 + [False] * 2


def test_first_steps_tick_themselves_off(people: Any, make_job: MakeJob) -> None:
    User.objects.exclude(username=people["admin"].username).update(is_active=False)
    example = make_job(name=EXAMPLES[0][1]["name"])
    page = open_page(people["admin"])
    assert f"Run {example.name}" in page
    assert page.count("(done)") == 0
    start(example)
    assert open_page(people["admin"]).count("(done)") == 1
    make_job(name="Mine")
    assert open_page(people["admin"]).count("(done)") == 2
    User.objects.update(is_active=True)
    assert "First steps" not in open_page(people["admin"])
    assert "First steps" not in open_page(people["viewer"])


def test_the_fragment_answers_only_changes(people: Any, make_job: MakeJob) -> None:
    job = make_job()
    end(job)
    client = Client()
    client.force_login(people["operator"])
    first = client.get("/home/now/")
    version = first["X-Version"]
    assert client.get(f"/home/now/?v={version}").status_code == 204
    start(job)
    assert client.get(f"/home/now/?v={version}").status_code == 200


def fill(make_job: MakeJob, user: User, number: int) -> None:
    for place in range(number):
        failing, live, waiting, fine = (make_job() for _ in range(4))
        end(failing, error={**ERROR, "text": "x" * place})
        end(live, "succeeded")
        start(live)
        launch(waiting, get_admin())
        end(fine, "succeeded", 3)
        make_schedule(fine, place)
        set_pin(user, fine, True)
        now = timezone.now()
        Incident.objects.create(job=fine, kind="start_by", due_at=now, expected_from=now, reason="Late")


def test_the_number_of_queries_does_not_grow(people: Any, make_job: MakeJob) -> None:
    user = people["editor"]
    client = Client()
    client.force_login(user)
    numbers = []
    for _ in range(2):
        fill(make_job, user, 4)
        clear_tallies()
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/home/now/").status_code == 200
        numbers.append(len(captured))
    assert numbers[0] == numbers[1]
    assert numbers[0] <= 25


def test_the_runs_of_24_hours_are_those_of_the_list(people: Any, make_job: MakeJob) -> None:
    job = make_job()
    for status, trigger in (("succeeded", "api"), ("failed", "api"), ("lost", "try"), ("cancelled", "api")):
        end(job, status, trigger=trigger)
    launch(job, people["operator"])
    old = end(job, "failed")
    Run.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=25))
    client = Client()
    client.force_login(people["viewer"])
    clear_tallies()
    home = client.get("/").content.decode()
    found = re.findall(r'href="(/runs/\?[^"]*period=24h)">(?:<strong>)?(\d+) (run|failed)', home)
    assert [(number, word) for _, number, word in found] == [("5", "run"), ("2", "failed")]
    for address, number, _ in found:
        page = client.get(html.unescape(address)).content.decode()
        assert f"1–{number} of {number} runs" in page, address


def test_tallies_count_what_counts(people: Any, make_job: MakeJob) -> None:
    job = make_job()
    end(job, "succeeded", 2)
    end(job)
    end(job, "cancelled")
    end(job, "failed", trigger="try")
    now = timezone.now()
    old = end(job, "succeeded")
    Run.objects.filter(status="succeeded").update(started_at=now - timedelta(seconds=30), finished_at=now)
    Run.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=3))
    day, month = fetch_day(people["viewer"]), fetch_month(people["viewer"])
    assert (len(day), len(month)) == (24, 720)
    assert (day[-1].good, day[-1].bad, round(day[-1].seconds)) == (2, 1, 60)
    assert (sum(hour.good for hour in month), sum(hour.bad for hour in month)) == (3, 1)
    periods = build_periods(day, month)
    assert [len(period.points) for period in periods] == [24, 28, 30]
    assert [period.whole.number for period in periods] == [3, 4, 4]
    assert periods[0].whole.rate == pytest.approx(66.67, abs=0.01)
    assert len({len(column) for column in periods[1].data.values()}) == 1


def test_bars_stay_in_their_box() -> None:
    at = timezone.now()
    hours = [Tally(at, 0, 0), Tally(at, 10_000, 1), Tally(at, 0, 3), Tally(at, 1, 0)]
    drawn = build_day_bars(hours)
    assert drawn.words == "Ended runs of the last 24 hours by hour: 10,005, of which 4 failed."
    for bar in drawn.bars:
        assert bar.good_height + bar.bad_height <= HEIGHT
        assert bar.good_y >= 0
    assert drawn.bars[1].bad_height >= 2


def test_the_figures(people: Any, make_job: MakeJob) -> None:
    end(make_job(), "succeeded")
    for path in ("/home/figures/", "/home/figures/part/"):
        page = open_page(people["viewer"], path)
        assert "100.0 %" in page
        assert "24 hours" in page


def test_the_month_has_30_days_after_the_turn_of_an_hour(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_month(people["viewer"])
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(tallies, "database_now", lambda: later)
    tallies._OF_DAY.clear()
    month = fetch_month(people["viewer"])
    assert len(month) == 30 * 24
    assert month[-1].at == later.replace(minute=0, second=0, microsecond=0)
    assert {after.at - before.at for before, after in pairwise(month)} == {timedelta(hours=1)}
