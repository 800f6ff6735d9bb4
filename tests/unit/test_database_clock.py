"""Stored times come from the database: a process with a wrong clock changes no order, no age and no deletion."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, SignIn, User
from cronium_admin.accounts.session_store import SessionStore
from cronium_admin.accounts.sessions import list_sign_ins
from cronium_admin.accounts.tokens import find_token_user, make_token
from cronium_admin.core.database.clock import MEASURE_INTERVAL_SECONDS, Now, _Clock, database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.images import inventory
from cronium_admin.images.inventory import ReportedImage
from cronium_admin.jobs.models import Job
from cronium_admin.logs.retention import due
from cronium_admin.logs.throttle import Throttle
from cronium_admin.ops import metrics_endpoint, readiness
from cronium_admin.retention import rows
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.variables import service
from cronium_admin.variables.models import Receipt, Variable
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import fetch_hosts
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import Capacity
from tests.conftest import Api
from tests.unit.log_storage import FOREVER, give_log, text_of
from tests.users import get_admin

pytestmark = pytest.mark.django_db
Wrong = Callable[..., AbstractContextManager[None]]
NEAR = timedelta(seconds=60)
real_now, real_time = timezone.now, time.time


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Wrong:
    """Adds this much to the clock of this process."""

    @contextmanager
    def by(**off: float) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(timezone, "now", lambda: real_now() + timedelta(**off))
            patch.setattr(time, "time", lambda: real_time() + timedelta(**off).total_seconds())
            yield

    return by


def is_near(at: datetime, off: timedelta = timedelta()) -> bool:
    return abs(at - off - real_now()) < NEAR


def test_runs_keep_their_order_whichever_process_made_them(wrong: Wrong, operator: Api, job: Job) -> None:
    made = []
    for hours in (1, -1, 0, -2, 3):
        with wrong(hours=hours):
            made.append(operator.post(f"/jobs/{job.slug}/runs").json())
    ids = [run["id"] for run in made]
    assert all(is_near(datetime.fromisoformat(run["created_at"])) for run in made)
    assert [run["id"] for run in operator.get("/runs").json()["items"]] == ids[::-1]
    assert str(state_machine._find_oldest_queued()) == ids[0]
    assert str(capacity.choose_next_run("east", Capacity())) == ids[0]


def test_the_row_in_hand_has_the_stored_time(job: Job) -> None:
    """The INSERT returns it, and it equals the stored time in a query."""
    run = launch(job, get_admin())
    assert Run.objects.filter(pk=run.pk, created_at=run.created_at).exists()
    assert run.created_at == Run.objects.get(pk=run.pk).created_at


def test_a_page_of_one_run_each_shows_all_of_them_once(operator: Api, job: Job) -> None:
    ids = [str(launch(job, get_admin()).pk) for _ in range(5)]
    seen, after = [], ""
    for _ in range(9):
        page = operator.get(f"/runs?limit=1&after={after}").json()
        seen += [run["id"] for run in page["items"]]
        if not (after := page["next"]):
            break
    assert seen == ids[::-1]


def test_exactly_as_many_logs_stay_as_are_asked_for(settings: Any, job: Job) -> None:
    """The end time of the last kept run is read and passed back."""
    settings.CONFIG = settings.CONFIG.model_copy(update={**FOREVER, "log_keep_runs": 2})
    for _ in range(3):
        run = give_log(launch(job, get_admin()), text_of(10))
        Run.objects.filter(pk=run.pk).update(finished_at=Now())
    assert [one.name for one in due.find_due_logs()] == ["report #1"]


@pytest.mark.parametrize("hours", [1, -1])
def test_ages_on_pages_are_right(wrong: Wrong, client: Client, people: dict[str, User], run: Run, hours: int) -> None:
    client.force_login(people["viewer"])
    with wrong(hours=hours):
        page = client.get(f"/runs/{run.pk}/").content.decode()
    shown = re.search(r'data-now="(\d+)"', page)
    assert shown
    assert abs(int(shown[1]) / 1000 - run.created_at.timestamp()) < NEAR.total_seconds()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_host_passes_a_large_run_over_for_a_minute_of_the_database(wrong: Wrong, job: Job, hours: int) -> None:
    on_host, large, small = (launch(job, get_admin()) for _ in range(3))
    Run.objects.update(network="none", cpu=Decimal(1), memory_mb=100)
    Run.objects.filter(pk=on_host.pk).update(status=Status.RUNNING, host="east", memory_mb=600)
    Run.objects.filter(pk=large.pk).update(memory_mb=900)
    offer = Capacity(memory_bytes=1000 * capacity.MB)
    with wrong(hours=hours):
        assert capacity.choose_next_run("east", offer) == small.pk
    Run.objects.filter(pk=large.pk).update(created_at=F("created_at") - timedelta(seconds=61))
    with wrong(hours=hours):
        assert capacity.choose_next_run("east", offer) is None


def test_retention_goes_by_one_clock(wrong: Wrong, settings: Any, operator: Api, job: Job) -> None:
    """A row written by a process with a clock years behind is not older; a clock years ahead deletes nothing."""
    names = [name for name in type(settings.CONFIG).model_fields if name.endswith("_keep_days")]
    settings.CONFIG = settings.CONFIG.model_copy(update=dict.fromkeys(names, 7))
    place = service.VariableRef(None, "seen")
    with wrong(days=-1000):
        made = operator.post(f"/jobs/{job.slug}/runs", None, Idempotency_Key="one").json()
        author = get_admin()
        service.set_variable(place, "1", author)
        service.delete_variable(place, author)
        token, _ = make_token(operator.user or User(), "old", real_now() + timedelta(days=3))
        receipt = Receipt.objects.create(run_id=made["id"], key="a", what="b", answer="null")
    assert is_near(receipt.at)
    assert is_near(token.created_at)
    for days in (1000, 0):
        with wrong(days=days):
            for sweep in (rows.remove_idempotency_keys, rows.remove_variables, rows.remove_events, rows.remove_tokens):
                assert list(sweep(Throttle())) == [], sweep.__name__
    assert operator.post(f"/jobs/{job.slug}/runs", None, Idempotency_Key="one").json()["id"] == made["id"]
    assert Variable.objects.count() == 1
    assert Run.objects.get().events.exists()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_token_lasts_as_long_as_it_was_made_for(wrong: Wrong, operator: Api, hours: int) -> None:
    with wrong(hours=hours):
        made = operator.post("/tokens", {"name": "half an hour", "expires_at": "30m"}).json()
        assert find_token_user(made["token"]) == operator.user
    row = ApiToken.objects.get(pk=made["id"])
    assert row.expires_at
    assert is_near(row.expires_at, timedelta(minutes=30))
    assert find_token_user(made["token"]) == operator.user
    ApiToken.objects.filter(pk=row.pk).update(expires_at=Now() - timedelta(seconds=1))
    with wrong(hours=hours), pytest.raises(ApiError, match="expired"):
        find_token_user(made["token"])


@pytest.mark.parametrize("days", [100, -100])
def test_a_session_lasts_as_long_as_it_was_made_for(
    wrong: Wrong, client: Client, people: dict[str, User], settings: Any, days: int
) -> None:
    with wrong(days=days):
        client.force_login(people["viewer"])
    row = Session.objects.get()
    assert is_near(row.expire_date, timedelta(seconds=settings.SESSION_COOKIE_AGE))
    assert client.get("/jobs/").status_code == 200
    with wrong(days=days):
        assert client.get("/jobs/").status_code == 200
        SessionStore.clear_expired()
        SignIn.objects.update(seen_at=Now())
        assert list_sign_ins(people["viewer"]).count() == SignIn.objects.count() == 1
        assert list(rows.remove_sessions(Throttle())) == []
    assert client.get("/jobs/").status_code == 200
    Session.objects.update(expire_date=Now() - timedelta(seconds=1))
    with wrong(days=-100):
        assert client.get("/jobs/").status_code == 302


@pytest.mark.parametrize("hours", [1, -1])
def test_a_host_is_alive_and_its_images_are_fresh(wrong: Wrong, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    Host.objects.create(name="east", heartbeat_at=Now())
    with wrong(hours=-hours):
        inventory.store_report("east", [ReportedImage("sha256:1", ("some:1",), 1)])
    with wrong(hours=hours):
        assert fetch_hosts()[0].alive
        assert inventory.find_presence(["some:1"])["some:1"].is_everywhere
        own = type("Own", (), {"runner": type("Runner", (), {"host": "east"})})
        monkeypatch.setattr("cronium_admin.ops.readiness.process.get_current_worker", lambda: own)
        assert readiness._check_runner()
    Host.objects.update(heartbeat_at=Now() - timedelta(minutes=5))
    with wrong(hours=-hours):
        assert not fetch_hosts()[0].alive
        assert not readiness._check_runner()


def test_the_metrics_count_runs_that_end_later(wrong: Wrong, job: Job) -> None:
    """A process with a clock ahead does not settle runs that other processes still create."""
    known = metrics_endpoint.DatabaseStateCache()
    with wrong(hours=1):
        known._query_state()
        Run.objects.filter(pk=launch(job, get_admin()).pk).update(status=Status.SUCCEEDED, finished_at=Now())
        assert sum(number for _, _, number in known._query_state().ended) == 1


def test_times_that_people_see_follow_the_database(wrong: Wrong, make_job: Any, editor: Api) -> None:
    with wrong(hours=5):
        job = make_job(slug="late")
        assert is_near(job.updated_at)
        assert editor.patch("/jobs/late", {"name": "Later"}).status_code == 200
    job.refresh_from_db()
    assert is_near(job.created_at)
    assert is_near(job.updated_at)


def test_the_clock_is_measured_again_with_a_new_connection(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    uptime = [100.0]
    monkeypatch.setattr("cronium_admin.core.database.clock._read_uptime", lambda: uptime[0])
    clock = _Clock()
    assert clock.estimate_now() is None
    clock.measure(connection)
    first = clock.estimate_now()
    assert first
    assert is_near(first)
    uptime[0] += MEASURE_INTERVAL_SECONDS - 1
    clock.measure(connection)
    assert clock.estimate_now() == first + timedelta(seconds=MEASURE_INTERVAL_SECONDS - 1), "not measured again so soon"
    uptime[0] += 3600
    clock.measure(connection)
    assert is_near(clock.estimate_now() or first)


def test_a_page_about_a_database_that_is_away_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.core.database.clock._clock", clock := _Clock())

    def fail(_: Any) -> None:
        raise OperationalError("no route to host")

    monkeypatch.setattr(clock, "measure", fail)
    assert is_near(database_now())
