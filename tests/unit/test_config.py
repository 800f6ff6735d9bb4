"""What the environment may say, where no other test is about it."""

import pytest

from cronium_admin.config import Config, config


@pytest.mark.parametrize(
    ("given", "made"), [("", ()), ("9.9.9.9", ("9.9.9.9",)), (" 9.9.9.9, 10.0.0.53 ,", ("9.9.9.9", "10.0.0.53"))]
)
def test_name_servers_for_the_proxy(monkeypatch: pytest.MonkeyPatch, given: str, made: tuple[str, ...]) -> None:
    monkeypatch.setenv("CRONIUM_EGRESS_DNS", given)
    assert Config().egress_dns == made


@pytest.mark.parametrize(("given", "made"), [("", None), ("1", 1), ("10000", 10_000)])
def test_a_log_limit_that_is_unset_is_told_from_one_that_says_50(
    monkeypatch: pytest.MonkeyPatch, given: str, made: int | None
) -> None:
    monkeypatch.setenv("CRONIUM_LOG_LIMIT_MB", given)
    assert Config().log_limit_mb == made


@pytest.mark.parametrize("given", ["dns.example", "9.9.9.9 1.1.1.1", "9.9.9.9:53", "::1", "9.9.9.256"])
def test_a_name_server_that_is_no_address_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.setenv("CRONIUM_EGRESS_DNS", given)
    config.cache_clear()
    try:
        with pytest.raises(SystemExit) as stopped:
            config()
    finally:
        monkeypatch.undo()
        config.cache_clear()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "CRONIUM_EGRESS_DNS" in said
    assert "9.9.9.9" in said, "it says what is allowed"
