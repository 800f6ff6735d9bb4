"""Pings of crons that run elsewhere: what each makes of its check, and odd requests."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.expectations import ping_views, pings
from cronium_admin.expectations.check_models import Check, Ping
from cronium_admin.expectations.judge import judge
from cronium_admin.expectations.models import Incident
from cronium_admin.expectations.moment import Moment
from tests.conftest import Api

pytestmark = pytest.mark.django_db
RUN = "7f6b0a3c-6f0e-4c29-9b0c-3d7f3f3d8a11"


@pytest.fixture
def check(db: None) -> Check:
    return Check.objects.create(name="backup", period_seconds=3600, grace_seconds=300)


@pytest.fixture
def send(check: Check) -> Callable[..., Any]:
    """Sends a ping; `method` and further keywords are those of the test client."""

    def ping(action: str = "", method: str = "get", **parts: Any) -> Any:
        return getattr(Client(), method)(f"/ping/{check.ping_key}{action}", **parts)

    return ping


def read(check: Check) -> Check:
    return Check.objects.get(pk=check.pk)


def look(after: timedelta, **facts: Any) -> list[bool]:
    """Judges later than now; returns whether the incidents are open, oldest first."""
    now = database_now() + after
    judge(Moment(now, now - timedelta(seconds=5), **facts))
    return [row.is_open for row in Incident.objects.order_by("pk")]


class TestStates:
    @pytest.mark.parametrize("method", ["get", "head", "post"])
    def test_a_ping_is_a_success(self, check: Check, send: Callable[..., Any], method: str) -> None:
        assert read(check).state == "new"
        answer = send(method=method)
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert answer.content == (b"" if method == "head" else b"OK")
        stored = read(check)
        assert (stored.state, stored.ping_count, stored.pings.get().kind) == ("up", 1, "success")
        assert stored.last_success_at is not None
        assert stored.due_at == stored.last_success_at + timedelta(seconds=3900)

    def test_late_then_down_then_up(self, check: Check, send: Callable[..., Any]) -> None:
        send()
        assert look(timedelta(minutes=64)) == []
        Check.objects.update(expected_at=database_now() - timedelta(seconds=1))
        assert read(check).state == "late"
        assert look(timedelta(minutes=66)) == [True]
        assert read(check).state == "down"
        assert "It was expected at" in Incident.objects.get().reason
        assert look(timedelta(minutes=70)) == [True]
        send("/start")
        assert read(check).state == "down", "only a success ends it"
        send()
        assert (read(check).state, look(timedelta(minutes=1))) == ("up", [False])
        incident = Incident.objects.get()
        assert (incident.closing, "Ping #3" in incident.closing_text) == ("fulfilled", True)

    @pytest.mark.parametrize("action", ["/fail", "/1", "/255"])
    def test_a_failure(self, check: Check, send: Callable[..., Any], action: str) -> None:
        for _ in range(2):
            assert send(action, "post", data=b"disk full", content_type="text/plain").content == b"OK"
        assert (read(check).state, Incident.objects.count()) == ("down", 1)
        ping = check.pings.first()
        assert ping is not None
        assert (ping.kind, ping.body, ping.exit_code) == (
            "fail",
            "disk full",
            None if action == "/fail" else int(action[1:]),
        )
        assert send("/0").status_code == 200
        assert look(timedelta(0)) == [False]

    def test_a_start_without_an_end(self, check: Check, send: Callable[..., Any]) -> None:
        send("/start")
        assert look(timedelta(minutes=4)) == []
        assert look(timedelta(minutes=6)) == [True]
        assert "no end followed within 5 min" in Incident.objects.get().reason

    def test_the_run_id_joins_start_and_end(self, check: Check, send: Callable[..., Any]) -> None:
        send(f"/start?rid={RUN}")
        send(f"/log?rid={RUN}")
        send()  # of another run
        Ping.objects.filter(number=1).update(at=database_now() - timedelta(seconds=90))
        send(f"?rid={RUN}")
        took = {ping.number: ping.duration_ms for ping in check.pings.all()}
        assert took[3] is None
        assert took[4] is not None
        assert 90_000 <= took[4] < 95_000

    def test_a_log_changes_no_state(self, check: Check, send: Callable[..., Any]) -> None:
        send("/log", "post", data=b"a line", content_type="text/plain")
        assert (read(check).state, read(check).due_at) == ("new", None)

    def test_a_paused_check_records_only(self, check: Check, send: Callable[..., Any], editor: Api) -> None:
        send("/fail")
        assert editor.patch(f"/checks/{check.pk}", {"enabled": False}).json()["state"] == "paused"
        assert Incident.objects.get().closing == "disabled"
        send("/fail")
        assert (read(check).state, read(check).due_at, look(timedelta(days=9))) == ("paused", None, [False])
        assert editor.patch(f"/checks/{check.pk}", {"enabled": True}).json()["state"] == "new"

    def test_a_downtime_of_cronium_gives_the_grace_again(self, check: Check, send: Callable[..., Any]) -> None:
        send()
        now = database_now()
        down = (now + timedelta(minutes=30), now + timedelta(hours=5))
        assert look(timedelta(hours=5), down=down) == []
        assert look(timedelta(hours=5, minutes=4), down=down) == []
        assert look(timedelta(hours=5, minutes=6), down=down) == [True]
        assert " Cronium was down from " in Incident.objects.get().reason

    def test_a_cron_rule(self, check: Check, send: Callable[..., Any], editor: Api) -> None:
        answer = editor.patch(f"/checks/{check.pk}", {"rhythm": "cron", "rule": "30 2 * * *", "timezone": "Asia/Tokyo"})
        assert answer.status_code == 200, answer.content
        send()
        expected = read(check).expected_at
        assert expected is not None
        assert f"{expected:%H:%M}" == "17:30"


class TestRequests:
    @pytest.mark.parametrize(
        ("url", "status"),
        [
            ("{key}/256", 400),
            ("{key}/999999999999", 404),
            ("{key}/-1", 404),
            ("{key}/nothing", 404),
            ("{key}/¹", 404),
            ("{key}?rid=x", 400),
            ("{key}?rid=%00", 400),
            ("{key}x", 404),
            ("00000000-0000-4000-8000-000000000000", 404),
            ("%00", 404),
            ("a/%00", 404),
        ],
    )
    def test_odd_ones_are_refused(self, check: Check, url: str, status: int) -> None:
        assert Client().get(f"/ping/{url.format(key=check.ping_key)}").status_code == status
        assert not Ping.objects.exists()

    @pytest.mark.parametrize("body", [b"\0\xff\xfe", "é".encode() * 100_000, b"x" * 100_001])
    def test_a_body_is_cut_and_decoded(self, check: Check, send: Callable[..., Any], body: bytes) -> None:
        answer = send("", "post", data=body, content_type="multipart/form-data; boundary=")
        assert (answer.status_code, answer["Ping-Body-Limit"]) == (200, "100000")
        ping = check.pings.get()
        assert (ping.body_bytes, "\0" in ping.body) == (len(body), False)
        assert len(ping.body.encode()) <= 300_000

    def test_only_the_last_are_kept(self, check: Check, send: Callable[..., Any], monkeypatch: Any) -> None:
        monkeypatch.setattr(pings, "KEPT", 3)
        for _ in range(5):
            send()
        assert [ping.number for ping in check.pings.all()] == [5, 4, 3]

    def test_a_check_takes_a_number_a_minute(self, check: Check, send: Callable[..., Any], monkeypatch: Any) -> None:
        monkeypatch.setattr(pings, "PER_MINUTE", 2)
        assert [send().status_code for _ in range(3)] == [200, 200, 429]
        assert check.pings.count() == 2
        Check.objects.update(minute_at=database_now() - timedelta(minutes=2))
        assert send().status_code == 200

    def test_no_log_has_the_key(
        self, check: Check, send: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: Any
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            for action in ("", "/start", "/nothing", "/256", "?rid=x", "/deep/path"):
                send(action)

            def fail(*_: Any) -> None:
                raise RuntimeError("broken")

            monkeypatch.setattr(ping_views, "receive_ping", fail)
            assert send().status_code == 503
        said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("cronium"))
        assert "/ping/<str:key>" in said
        assert str(check.ping_key) not in said


class TestRights:
    def test_only_editors_see_the_url(self, check: Check, viewer: Api, operator: Api, editor: Api) -> None:
        urls = [api.get(f"/checks/{check.pk}").json()["ping_url"] for api in (viewer, operator, editor)]
        assert urls == [None, None, f"http://testserver/ping/{check.ping_key}"]
        for name, sees in (("viewer", False), ("editor", True)):
            client = Client()
            client.force_login(User.objects.get(username=name))
            assert (str(check.ping_key) in client.get(f"/checks/{check.pk}/").content.decode()) is sees

    def test_a_new_url_replaces_the_old(self, check: Check, send: Callable[..., Any], editor: Api) -> None:
        new = editor.post(f"/checks/{check.pk}/rotate").json()["ping_url"]
        assert (send().status_code, Client().get(new).status_code) == (404, 200)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"period_seconds": None}, "period_seconds"),
            ({"period_seconds": 5}, "period_seconds"),
            ({"grace_seconds": 0}, "grace_seconds"),
            ({"grace_seconds": 10**12}, "grace_seconds"),
            ({"timezone": "a\0b"}, "timezone"),
            ({"rhythm": "often"}, "rhythm"),
            ({"rhythm": "cron", "rule": "61 * * * *"}, "rule"),
            ({"rhythm": "cron", "rule": "@reboot"}, "rule"),
            ({"rhythm": "cron", "rule": "0 2 * * *", "timezone": "Mars/Base"}, "timezone"),
        ],
    )
    def test_wrong_values_name_their_field(self, editor: Api, body: dict[str, Any], field: str) -> None:
        answer = editor.post("/checks", {"name": "mail", "period_seconds": 3600, **body})
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.content
