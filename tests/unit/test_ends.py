"""Retention of other rows, and the table of the rules."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Model
from django.db.models.deletion import Collector
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, SignIn, User
from cronium_admin.images.models import HostInventory
from cronium_admin.jobs.models import Job
from cronium_admin.logs.throttle import Stopped, Throttle
from cronium_admin.retention import rows
from cronium_admin.retention.ends import RULES, apply_rules
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent
from cronium_admin.variables import service
from cronium_admin.variables.models import Change, Receipt, Variable
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db
DOCS = Path(__file__).parents[2] / "docs" / "growth.md"


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.logs.throttle.MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr("cronium_admin.logs.throttle.PAUSE_FACTOR", 0)
    monkeypatch.setattr(rows, "BATCH_SIZE", 2)


def ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


@pytest.fixture
def never(settings: Any) -> None:
    names = [name for name in type(settings.CONFIG).model_fields if name.endswith(("_keep_days", "_keep_runs"))]
    assert len(names) == 9
    settings.CONFIG = settings.CONFIG.model_copy(update=dict.fromkeys(names, 0))


def test_the_docs_have_the_table() -> None:
    told = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", DOCS.read_text(), re.MULTILINE)
    plain = [tuple(cell.replace("`", "") for cell in row) for row in told]
    assert [(end.subject, end.setting, end.default) for end in RULES] == [
        row for row in plain if row[0] in {end.subject for end in RULES}
    ]


class StoppedAfterOneStep(Throttle):
    steps = 0

    def raise_if_stopped(self) -> None:
        self.steps += 1
        if self.steps > 1:
            raise Stopped


def _events(run: Run, old: bool) -> None:
    RunEvent.objects.update(at=ago(91 if old else 89))


def _sign_ins(run: Run, old: bool) -> None:
    at = ago(31 if old else 29)
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        for _ in range(3):
            extra = {"failures_since_start": 1} if model is AccessAttempt else {}
            row: Any = model.objects.create(ip_address="127.0.0.1", user_agent=str(_), username="x", **extra)
            model.objects.filter(pk=row.pk).update(attempt_time=at)


def _tokens(run: Run, old: bool) -> None:
    person, at = User.objects.create(username="x"), ago(91 if old else 89)
    for field in ("revoked_at", "expires_at"):
        row, _ = ApiToken.mint(person, field)
        ApiToken.objects.filter(pk=row.pk).update(**{field: at})


def _variables(run: Run, old: bool) -> None:
    for name in ("a", "b", "c"):
        place = service.VariableRef(run.job, name)
        service.set_variable(place, 1, get_admin())
        service.delete_variable(place, get_admin())
    Variable.objects.update(changed_at=ago(91 if old else 89))


def _receipts(run: Run, old: bool) -> None:
    Receipt.objects.create(run=run, key="k", what="x", answer="1")
    Run.objects.filter(pk=run.pk).update(finished_at=ago(2 if old else 0.5))


@pytest.mark.parametrize(
    ("make", "models"),
    [
        (_events, [RunEvent]),
        (_sign_ins, [AccessAttempt, AccessFailureLog, AccessLog]),
        (_tokens, [ApiToken]),
        (_variables, [Variable, Change]),
        (_receipts, [Receipt]),
    ],
)
@pytest.mark.parametrize("old", [True, False])
def test_what_is_past_its_end_goes_and_the_rest_stays(
    run: Run, make: Callable[[Run, bool], None], models: list[type[Model]], old: bool
) -> None:
    make(run, old)
    before = [model._default_manager.count() for model in models]
    assert all(before)
    apply_rules(Throttle())
    assert [model._default_manager.count() for model in models] == ([0] * len(models) if old else before)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_variable_that_is_set_while_it_is_swept_has_its_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _variables(run, old=True)
    place, is_set, setters = service.VariableRef(run.job, "a"), threading.Event(), list[threading.Thread]()
    collect = Collector.collect

    def put() -> None:
        try:
            service.set_variable(place, 2, get_admin())
            is_set.set()
        finally:
            connection.close()

    def collect_and_set(self: Collector, *given: Any, **named: Any) -> None:
        collect(self, *given, **named)
        if not setters:
            setters.append(threading.Thread(target=put))
            setters[0].start()
            is_set.wait(1)  # in vain where the rows are locked

    monkeypatch.setattr(Collector, "collect", collect_and_set)
    list(rows.remove_variables(Throttle()))
    setters[0].join()
    kept = service.find_variable(place)
    assert kept is not None
    assert kept.value == 2


def test_a_sweep_that_is_stopped_says_what_it_removed(run: Run) -> None:
    for number in range(3):
        RunEvent.objects.create(run=run, kind="x")
        again = launch(run.job, get_admin(), idempotency_key=str(number))  # type: ignore[arg-type]
        Run.objects.filter(pk=again.pk).update(created_at=ago(8))
    _events(run, old=True)
    _variables(run, old=True)
    for remove, words in (
        (rows.remove_events, "2 events of runs"),
        (rows.remove_idempotency_keys, "2 idempotency keys of launches"),
        (rows.remove_variables, "2 deleted variables with their history"),
    ):
        told = list[str]()
        with pytest.raises(Stopped):
            told.extend(remove(StoppedAfterOneStep()))
        assert told == [words]


@pytest.mark.parametrize("make", [_events, _sign_ins, _tokens, _variables])
def test_zero_keeps_it_for_ever(run: Run, make: Callable[[Run, bool], None], never: None) -> None:
    make(run, True)
    models: list[type[Model]] = [RunEvent, AccessAttempt, AccessLog, ApiToken, Variable, Change]
    before = [model._default_manager.count() for model in models]
    apply_rules(Throttle())
    assert [model._default_manager.count() for model in models] == before


def test_a_variable_with_a_value_and_a_token_in_use_stay_however_old(run: Run) -> None:
    service.set_variable(service.VariableRef(run.job, "a"), 1, get_admin())
    Variable.objects.update(changed_at=ago(1000))
    ApiToken.mint(User.objects.create(username="x"), "t")
    ApiToken.objects.update(created_at=ago(1000))
    apply_rules(Throttle())
    assert (Variable.objects.count(), Change.objects.count(), ApiToken.objects.count()) == (1, 1, 1)


def test_a_used_idempotency_key_is_free_again_after_a_week_and_its_run_stays(job: Job) -> None:
    runs = [launch(job, get_admin(), idempotency_key=f"k{number}") for number in range(4)]
    Run.objects.filter(pk__in=[run.pk for run in runs[:3]]).update(created_at=ago(8))
    apply_rules(Throttle())
    assert Run.objects.count() == 4
    assert launch(job, get_admin(), idempotency_key="k3") == runs[3]
    assert launch(job, get_admin(), idempotency_key="k0") != runs[0]


def test_expired_sessions_go(people: dict[str, User]) -> None:
    Client().force_login(people["viewer"])
    old = SessionStore()
    old.set_expiry(-1)
    old.create()
    for days in (15, 13):
        row = SignIn.objects.create(user=people["viewer"])
        SignIn.objects.filter(pk=row.pk).update(created_at=ago(days))
    before, signed_in = Session.objects.count(), SignIn.objects.count()
    apply_rules(Throttle())
    assert (Session.objects.count(), SignIn.objects.count()) == (before - 1, signed_in - 1)


# Hosts.


@pytest.mark.parametrize(
    ("facts", "status", "code"),
    [
        ({"heartbeat_at": None}, 204, ""),
        ({"heartbeat_at": ago(1)}, 204, ""),
        ({"heartbeat_at": ago(1), "running": 3, "owner": "x", "lease_expires_at": ago(1)}, 204, ""),
        ({"heartbeat_at": timezone.now() + timedelta(hours=1)}, 409, "host_is_alive"),
        ({"heartbeat_at": ago(1), "owner": "x", "lease_expires_at": ago(-1)}, 409, "host_is_alive"),
    ],
)
def test_a_host_that_is_away_is_deleted(admin: Api, facts: dict[str, Any], status: int, code: str) -> None:
    Host.objects.create(name="east", **facts)
    Host.objects.create(name="west", heartbeat_at=ago(1))
    HostInventory.objects.create(host="east", reported_at=ago(1))
    answer = admin.delete("/hosts/east")
    assert answer.status_code == status
    assert Host.objects.filter(name="east").exists() is (status == 409)
    assert HostInventory.objects.filter(host="east").exists() is (status == 409)
    assert Host.objects.filter(name="west").exists()
    if code:
        assert answer.json()["code"] == code


@pytest.mark.parametrize("status", ["starting", "running"])
def test_not_while_it_has_live_runs(admin: Api, run: Run, status: str) -> None:
    Host.objects.create(name="east", heartbeat_at=ago(1))
    Run.objects.update(status=status, host="east")
    answer = admin.delete("/hosts/east")
    assert (answer.status_code, answer.json()["code"]) == (409, "host_has_live_runs")
    Run.objects.update(status="lost", finished_at=timezone.now())
    assert admin.delete("/hosts/east").status_code == 204
    assert admin.delete("/hosts/east").status_code == 404


def test_the_button_of_the_page(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["admin"])
    away = Host.objects.create(name="east", heartbeat_at=ago(1))
    alive = Host.objects.create(name="west", heartbeat_at=timezone.now())
    page = client.get("/hosts/").content.decode()
    assert f"/hosts/{away.pk}/delete/" in page
    assert f"/hosts/{alive.pk}/delete/" not in page
    for host in (away, alive):
        assert client.post(f"/hosts/{host.pk}/delete/")["Location"] == "/hosts/"
    assert list(Host.objects.values_list("name", flat=True)) == ["west"]
