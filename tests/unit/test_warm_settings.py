"""CRONIUM_WARM: how many sandboxes a host keeps ready."""

from typing import Any

import pytest

from cronium_admin.core.config import Config, load_config
from cronium_admin.warm import rows


@pytest.mark.parametrize(
    ("given", "limit"), [("", None), ("auto", None), (" AUTO ", None), ("0", 0), ("00", 0), ("7", 7), ("100", 100)]
)
def test_it_is_auto_or_a_number(monkeypatch: pytest.MonkeyPatch, given: str, limit: int | None) -> None:
    monkeypatch.setenv("CRONIUM_WARM", given)
    assert Config().warm_limit == limit


@pytest.mark.parametrize("given", ["-1", "101", "many", "1.5", "auto4", "²", "1e2", "٣", "9" * 400])
def test_another_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.setenv("CRONIUM_WARM", given)
    load_config.cache_clear()
    with pytest.raises(SystemExit) as stopped:
        load_config()
    load_config.cache_clear()
    assert stopped.value.code == 2
    assert "CRONIUM_WARM" in (told := capsys.readouterr().err)
    assert "auto, or a number from 0" in told


def test_zero_asks_the_database_nothing(db: None, settings: Any, django_assert_num_queries: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})
    with django_assert_num_queries(0):
        assert rows.take({}) is None
