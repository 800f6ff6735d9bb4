"""Unit tests do without collected static files, which every new client would read from the disk."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from cronium_admin.core.database.clock import Now

SetClock = Callable[[float], None]
StopClock = Callable[[datetime], None]


@pytest.fixture(scope="package", autouse=True)
def _no_static_files() -> Iterator[None]:
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]):
        yield


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the database's clock to this number of seconds after the real time."""

    def change(seconds: float) -> None:
        on_sqlite = f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f001', 'NOW', '{seconds:+.3f} seconds')"
        on_postgres = f"(STATEMENT_TIMESTAMP() + INTERVAL '{seconds:+.3f} seconds')"
        _replace_now(monkeypatch, on_sqlite, on_postgres)

    return change


@pytest.fixture
def stop_clock(monkeypatch: pytest.MonkeyPatch) -> StopClock:
    """Sets the database's clock to this time, at which it stays."""

    def change(at: datetime) -> None:
        text = at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        _replace_now(monkeypatch, f"'{text}'", f"TIMESTAMPTZ '{text}+00'")

    return change


def _replace_now(monkeypatch: pytest.MonkeyPatch, on_sqlite: str, on_postgres: str) -> None:
    for name, template in (("as_sqlite", on_sqlite), ("as_postgresql", on_postgres)):

        def compile_now(self: Now, compiler: Any, connection: Any, template: str = template, **extra: Any) -> Any:
            return self.as_sql(compiler, connection, template=template, **extra)

        monkeypatch.setattr(Now, name, compile_now)
