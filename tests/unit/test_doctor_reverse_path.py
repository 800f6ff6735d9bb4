"""Doctor's result about datagrams from a run to the host."""

from pathlib import Path

import pytest

from cronium_admin.workers.health.checks import machine


@pytest.mark.parametrize(
    ("value", "writable", "state"), [("0", True, "ok"), ("0", False, "warning"), ("1", False, "ok"), ("2", False, "ok")]
)
def test_the_row_follows_kernel_and_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, writable: bool, state: str
) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "rp_filter").write_text(value + "\n")
    monkeypatch.setattr(machine, "REVERSE_PATH", tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: writable)
    (row,) = machine.check_reverse_path(None)  # type: ignore[arg-type]
    assert row.state == state
    assert bool(row.mend) == (state != "ok")


def test_an_engine_elsewhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "REVERSE_PATH", tmp_path)
    (row,) = machine.check_reverse_path(None)  # type: ignore[arg-type]
    assert (row.state, "rp_filter" in row.mend) == ("warning", True)
