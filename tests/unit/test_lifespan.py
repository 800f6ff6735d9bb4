"""The shutdown of the server."""

from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from cronium_admin.web import lifespan


async def test_what_starts_and_ends_the_server_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> None:
    """The event loop's threads live as long as the server."""
    used: list[Any] = []

    def use_database() -> None:
        with django_db_blocker.unblock():
            connection.ensure_connection()
        used.append(connection.connection)

    monkeypatch.setattr(lifespan, "on_start", [use_database])
    monkeypatch.setattr(lifespan, "on_stop", [use_database])
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(asked)

    async def send(_: Any) -> None:
        pass

    await lifespan.serve_lifespan(receive, send)
    assert len(used) == 2
    for one in used:
        with pytest.raises((connection.Database.ProgrammingError, connection.Database.OperationalError)):
            one.execute("SELECT 1")


async def test_a_part_that_fails_to_end_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    def fail() -> None:
        raise RuntimeError("stuck")

    monkeypatch.setattr(lifespan, "on_start", [])
    monkeypatch.setattr(lifespan, "on_stop", [fail, lambda: ended.append("second")])
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(asked)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await lifespan.serve_lifespan(receive, send)
    assert ended == ["second"]
    assert sent[-1] == "lifespan.shutdown.complete"
    assert "stuck" in caplog.text
