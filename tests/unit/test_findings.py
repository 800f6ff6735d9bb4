"""Doctor's results on a host: by its own worker or at a terminal, stored, and displayed."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.health import results, runner
from cronium_admin.workers.health.checks import docker_engine, services
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult
from cronium_admin.workers.health.scheduler import HealthScheduler
from cronium_admin.workers.hosts.models import Host
from executor.checks.isolation import CanaryFailed
from tests.conftest import Api

WELL = CheckResult("engine", "ok", "Docker Engine 1")
SHAKY = CheckResult("clock", "warning", "It is <late>", "Let it follow a time server.")
BROKEN = CheckResult("disk", "failed", "It is full", "Free some space.")


def seen_now(**more: Any) -> Host:
    return Host.objects.create(**({"name": "east", "heartbeat_at": timezone.now()} | more))


@pytest.mark.parametrize(
    ("states", "worst", "words"),
    [
        ([], "ok", "all well"),
        (["ok", "ok"], "ok", "all well"),
        (["ok", "warning"], "warning", "1 warning"),
        (["warning", "warning"], "warning", "2 warnings"),
        (["failed", "ok"], "failed", "1 failed"),
        (["warning", "failed", "warning", "failed"], "failed", "2 failed, 2 warnings"),
    ],
)
def test_all_rows_in_a_word(states: list[str], worst: str, words: str) -> None:
    assert (results.find_worst_state(states), results.summarize_states(states)) == (worst, words)


class TestKeep:
    def test_the_last_examination_replaces_the_one_before(self, db: None) -> None:
        seen_now()
        results.store_results("east", [WELL, BROKEN])
        results.store_results("east", [WELL])
        row = Host.objects.get()
        assert row.findings == [{"name": "engine", "state": "ok", "found": "Docker Engine 1", "mend": ""}]
        assert row.examined_at is not None

    def test_a_host_without_a_row_gets_none(self, db: None) -> None:
        results.store_results("east", [WELL])
        assert not Host.objects.exists()

    def test_a_long_message_with_a_nul_is_cut_and_stored(self, db: None) -> None:
        seen_now()
        results.store_results("east", [CheckResult("engine", "failed", "a\0b" + "x" * 5000, "m")])
        (kept,) = Host.objects.get().findings
        assert kept["found"].startswith("abx")
        assert len(kept["found"]) == results.MAX_CHARS


class TestShown:
    @pytest.fixture
    def page(self, people: dict[str, User]) -> Callable[[], str]:
        client = Client()
        client.force_login(people["viewer"])
        return lambda: client.get("/hosts/").content.decode()

    def test_who_was_never_examined_says_so(self, page: Callable[[], str]) -> None:
        seen_now()
        assert "Doctor: not examined yet" in page()
        assert "Doctor results" not in page()

    @pytest.mark.parametrize(
        ("rows", "words", "symbol"),
        [
            ([WELL], "Doctor: all well", "circle-check"),
            ([WELL, SHAKY], "Doctor: 1 warning", "info-circle"),
            ([WELL, SHAKY, BROKEN], "Doctor: 1 failed, 1 warning", "circle-x"),
        ],
    )
    def test_a_word_and_an_icon_stand_beside_the_name(
        self, page: Callable[[], str], rows: list[CheckResult], words: str, symbol: str
    ) -> None:
        seen_now()
        results.store_results("east", rows)
        badge = page().split(f"<span>{words}</span>")[0].rsplit('<span class="state', 1)[1]
        assert f"#{symbol}" in badge

    def test_the_table_tells_what_to_do_and_escapes(self, page: Callable[[], str]) -> None:
        seen_now()
        results.store_results("east", [WELL, SHAKY])
        assert "It is &lt;late&gt;" in page()
        assert "How to fix it</summary>Let it follow a time server." in page()

    def test_a_failed_row_holds_back_no_run(self, viewer: Api) -> None:
        seen_now()
        results.store_results("east", [BROKEN])
        (host,) = viewer.get("/hosts").json()["items"]
        assert host["takes_runs"] is True
        assert host["findings"] == [{"name": "disk", "state": "failed", "found": "It is full", "mend": BROKEN.mend}]
        assert host["examined_at"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestCheckup:
    @pytest.fixture
    def checkup(self, database: DatabaseThreads, settings: Any) -> HealthScheduler:
        settings.CONFIG = settings.CONFIG.model_copy(update={"docker_host": "tcp://127.0.0.1:9"})
        seen_now()
        return HealthScheduler("east", database, lambda: True, threading.Event())

    def kept(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in Host.objects.get().findings}

    def test_it_looks_at_all_but_the_isolation(self, checkup: HealthScheduler) -> None:
        checkup.run_checks()
        assert {"engine", "database", "broker", "disk", "address pool", "reverse path", "clock"} <= set(self.kept())
        assert self.kept()["engine"] == "failed"
        assert not any(name.startswith("isolation") for name in self.kept())

    def test_what_it_can_not_end_is_logged_and_the_last_rows_stay(
        self, checkup: HealthScheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        results.store_results("east", [WELL])
        monkeypatch.setitem(runner.CHECKS, "disk", lambda patient: 1 / 0)
        checkup.run_checks()
        assert self.kept() == {"engine": "ok"}
        assert "examination failed" in caplog.text

    def test_what_fails_is_logged_once(self, checkup: HealthScheduler, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "cronium.host")
        checkup.run_checks()
        checkup.run_checks()
        assert caplog.text.count("doctor: engine: No Docker Engine answers") == 1

    def test_its_loop_goes_on_when_once_fails_and_ends_with_the_worker(
        self, checkup: HealthScheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkup._first_pause = 0.0
        monkeypatch.setattr("cronium_admin.workers.health.scheduler.SECONDS", 0.0)
        tried: list[int] = []

        def examine(ask: Any) -> list[CheckResult]:
            tried.append(1)
            if len(tried) == 1:
                raise RuntimeError
            checkup.stop_event.set()
            return [WELL]

        monkeypatch.setattr(runner, "run_checks", examine)
        checkup.start()
        checkup.thread.join(10)
        assert not checkup.thread.is_alive()
        assert self.kept() == {"engine": "ok"}

    def test_who_stands_by_writes_nothing(self, checkup: HealthScheduler) -> None:
        checkup._first_pause = 0.0
        asked = threading.Event()
        checkup._is_leader = lambda: asked.set() is not None  # False
        checkup.start()
        assert asked.wait(10)
        checkup.stop_event.set()
        checkup.thread.join(10)
        assert self.kept() == {}

    def test_the_engine_is_asked_while_no_database_thread_is_held(
        self, database: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inside: list[str] = []

        def present(client: Any, reference: str) -> bool:
            inside.append(threading.current_thread().name)
            return True

        monkeypatch.setattr(docker_engine, "_has_image", present)
        patient = HealthProbe.__new__(HealthProbe)
        patient.client, patient.call_database = object(), database.call
        assert {row.state for row in docker_engine.check_images(patient)} == {"ok"}
        assert len(inside) == 4
        assert not any(name.startswith("database") for name in inside)


class TestTerminal:
    def test_doctor_keeps_its_rows_on_the_named_host(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(host: str) -> list[CheckResult]:
            return [CheckResult("isolation", "warning", "There is no image.", "Build one.")]

        monkeypatch.setattr(runner, "check_isolation", fails)
        monkeypatch.setattr(runner, "CHECKS", {"clock": lambda patient: iter([SHAKY])})
        monkeypatch.setattr(runner, "_NEED_ENGINE", frozenset())
        seen_now()
        out = StringIO()
        call_command("doctor", "--json", "--host", "east", stdout=out)
        assert [row["name"] for row in json.loads(out.getvalue())["checks"]] == ["clock", "isolation"]
        assert [row["name"] for row in Host.objects.get().findings] == ["clock"]

    def test_a_database_that_is_away_does_not_end_it(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> None:
            raise OperationalError("away")

        def no_verdict(self: Any) -> None:
            raise CanaryFailed("no image")

        monkeypatch.setattr(results, "store_results", away)
        monkeypatch.setattr("executor.checks.isolation.Canary.run", no_verdict)
        monkeypatch.setattr(runner, "CHECKS", {"engine": lambda patient: iter([WELL])})
        out = StringIO()
        call_command("doctor", "--json", stdout=out)
        assert [row["name"] for row in json.loads(out.getvalue())["checks"]] == ["engine", "isolation"]


def test_an_address_of_redis_that_is_none_is_told_without_its_words(db: None, settings: Any) -> None:
    wrong = "redis://:half/of-a-password@127.0.0.1:1/0"
    settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": wrong})
    (row,) = services.check_broker(HealthProbe.__new__(HealthProbe))
    assert (row.name, row.state) == ("broker", "failed")
    assert "half" not in row.found


def test_a_check_that_breaks_off_keeps_the_rows_it_has(db: None) -> None:
    def breaks(patient: HealthProbe) -> Iterator[CheckResult]:
        yield WELL
        raise requests.ConnectionError("gone")

    patient = HealthProbe.__new__(HealthProbe)
    patient.client = object()
    assert [row.state for row in runner._run_check("engine", breaks, patient)] == ["ok", "failed"]


def test_a_database_that_is_away_is_asked_once() -> None:
    asked: list[object] = []

    def ask(function: object) -> Any:
        asked.append(function)
        raise OperationalError("couldn't get a connection after 10.00 sec")

    def check(patient: HealthProbe) -> Iterator[CheckResult]:
        yield patient.call_database(lambda: WELL)

    patient = HealthProbe.__new__(HealthProbe)
    patient._database_call = ask
    rows = [row for name in ("database", "ceilings", "proxies") for row in runner._run_check(name, check, patient)]
    assert [(row.state, row.mend) for row in rows] == [
        ("failed", "Fix the cause that the message names."),
        *[("failed", "Fix the database first.")] * 2,
    ]
    assert len(asked) == 1
    assert runner.is_database_away(rows)
