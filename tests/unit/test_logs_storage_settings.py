"""Allowed values of CRONIUM_LOG_STORAGE and related settings, and doctor's results for them."""

from pathlib import Path
from typing import Any

import pytest

from cronium_admin.core.config import Config, load_config
from cronium_admin.workers.health.checks.log_storage import check_log_storage


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("", ""),
        ("s3://bucket", "s3://bucket"),
        ("s3://my.bucket-1/", "s3://my.bucket-1"),
        ("s3://bucket/a/b=c/", "s3://bucket/a/b=c"),
        ("file:///srv/cronium logs", "file:///srv/cronium logs"),
    ],
)
def test_a_bucket_or_a_folder(monkeypatch: pytest.MonkeyPatch, given: str, made: str) -> None:
    monkeypatch.setenv("CRONIUM_LOG_STORAGE", given)
    assert Config().log_storage == made


BAD = [
    *(
        ("STORAGE", bad)
        for bad in ("/srv/logs", "file://srv", "file:///", "file:///a/../b", "s3://", "s3://B", "s3://ab")
    ),
    *(("STORAGE", bad) for bad in ("s3://bucket//a", "s3://bucket/../a", "s3://key:secret@bucket", "gs://bucket")),
    *(("S3_ENDPOINT", bad) for bad in ("minio:9000", "http://", "https://s3.example.org/bucket", "http://a:b@c")),
    ("S3_REGION", "eu west"),
    *(("ARCHIVE_AFTER", bad) for bad in ("-1", "1.5", "soon", "87601")),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    said = refused(monkeypatch, capsys, **{f"CRONIUM_LOG_{name}": value})
    assert f"CRONIUM_LOG_{name}: {value!r} is not allowed" in said


@pytest.mark.parametrize("alone", ["CRONIUM_LOG_S3_ACCESS_KEY", "CRONIUM_LOG_S3_SECRET_KEY"])
def test_one_key_without_the_other_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], alone: str
) -> None:
    said = refused(monkeypatch, capsys, **{alone: "hush"})
    assert "set both, or neither" in said
    assert "hush" not in said


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **env: str) -> str:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    load_config.cache_clear()
    try:
        with pytest.raises(SystemExit) as stopped:
            load_config()
    finally:
        monkeypatch.undo()
        load_config.cache_clear()
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_doctor_tries_a_folder_and_leaves_nothing(settings: Any, tmp_path: Path) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": f"file://{tmp_path}/logs"})
    patient: Any = None
    (row,) = check_log_storage(patient)
    assert (row.state, row.mend) == ("ok", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "taken").write_text("")
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": f"file://{tmp_path}/taken"})
    (row,) = check_log_storage(patient)
    assert row.state == "failed"
    assert "CRONIUM_LOG_STORAGE" in row.mend
