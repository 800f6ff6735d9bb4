"""An untrusted proxy: one log line per hour, and a result of doctor with the remedy."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, RequestFactory

from cronium_admin.core.database.clock import Now
from cronium_admin.ops import proxies
from cronium_admin.workers.health.checks import services
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.hosts.models import Installation

BEHIND = {"X-Forwarded-For": "203.0.113.9"}


class Asks:
    """A fake HealthProbe with the attributes that the check reads."""

    call_database = staticmethod(lambda function: function())


@pytest.fixture(autouse=True)
def _fresh(db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(proxies, "_noted_at", None)
    caplog.set_level(logging.WARNING, "cronium.access")
    Installation.objects.get_or_create(pk=1, defaults={"instance": "tests"})
    Installation.objects.update(untrusted_proxy="", untrusted_proxy_at=None)


def trust(settings: Any, *parts: str) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"trusted_proxies": parts})


def row() -> Any:
    patient: HealthProbe = Asks()  # type: ignore[assignment]
    (found,) = services.check_proxies(patient)
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if "X-Forwarded-For" in line.getMessage()]


def test_it_is_told_once_with_what_to_set(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert (row().state, row().found) == ("ok", "No proxy was noticed")
    for _ in range(3):
        Client(headers=BEHIND).get("/sign-in/", REMOTE_ADDR="10.1.2.3")
    assert len(told(caplog)) == 1
    assert "CRONIUM_TRUSTED_PROXIES=10.1.2.3" in told(caplog)[0]
    assert row().state == "warning"
    assert "10.1.2.3" in row().found
    assert "CRONIUM_TRUSTED_PROXIES=10.1.2.3" in row().mend
    trust(settings, "192.0.2.1")
    assert "CRONIUM_TRUSTED_PROXIES=192.0.2.1,10.1.2.3" in row().mend
    trust(settings, "10.1.0.0/16")
    assert row().state == "ok", "mended"


def test_it_is_told_again_after_an_hour_and_forgotten_after_a_day(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client(headers=BEHIND).get("/sign-in/", REMOTE_ADDR="10.1.2.3")
    assert proxies._noted_at is not None
    monkeypatch.setattr(proxies, "_noted_at", proxies._noted_at - proxies.NOTE_INTERVAL.total_seconds())
    Client(headers=BEHIND).get("/sign-in/", REMOTE_ADDR="10.1.2.4")
    assert len(told(caplog)) == 2
    assert "10.1.2.4" in row().found
    Installation.objects.update(untrusted_proxy_at=Now() - timedelta(days=1, minutes=1))
    assert row().state == "ok"


@pytest.mark.parametrize("trusted", ["10.1.2.3", "10.0.0.0/8"])
def test_a_trusted_proxy_is_no_news(settings: Any, caplog: pytest.LogCaptureFixture, trusted: str) -> None:
    trust(settings, trusted)
    Client(headers=BEHIND).get("/sign-in/", REMOTE_ADDR="10.1.2.3")
    Client().get("/sign-in/", REMOTE_ADDR="10.9.9.9")
    assert told(caplog) == []


def test_the_connection_counts_and_not_what_the_proxy_said(settings: Any) -> None:
    """REMOTE_ADDR of a trusted proxy's request is the user's address, which is not a proxy."""

    class Transport:
        peer: Any = None

        def get_extra_info(self, name: str) -> Any:
            assert name == "peername"
            return self.peer

    class Connection:
        transport = Transport()

    request = RequestFactory(headers=BEHIND).get("/", REMOTE_ADDR="203.0.113.9")
    request.scope = {"state": {"connection": Connection()}}  # type: ignore[attr-defined]
    trust(settings, "127.0.0.1")
    for peer, expected in ((("127.0.0.1", 1), ""), (("10.0.0.1", 1), "10.0.0.1"), ("", ""), (("::1", 1, 0, 0), "::1")):
        Connection.transport.peer = peer
        assert proxies.find_untrusted_proxy(request) == expected
