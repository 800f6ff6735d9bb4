"""Values of environment variables, as far as no other test covers them."""

from pathlib import Path
from typing import Any

import pytest
from django.http.request import split_domain_port, validate_host

from cronium_admin.core.config import CERTIFICATES, Config, load_config
from cronium_admin.image_builds.mirrors import list_egress
from executor.docker import connection


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


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("redis://:pass@valkey:6379/0", "redis://:pass@valkey:6379/0"),
        ("valkey://:pass@valkey:6379/0", "redis://:pass@valkey:6379/0"),
        ("valkeys://cache.example:6380/1", "rediss://cache.example:6380/1"),
        ("rediss://:valkey@cache.example/1", "rediss://:valkey@cache.example/1"),
        ("unix:///run/valkey/socket", "unix:///run/valkey/socket"),
    ],
)
def test_only_the_scheme_of_the_brokers_address_is_put_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str, asked: str
) -> None:
    monkeypatch.setenv("CRONIUM_REDIS_URL", given)
    address = Config().redis
    assert address is not None
    assert address.url == asked


@pytest.mark.parametrize("given", ["dns.example", "9.9.9.9 1.1.1.1", "9.9.9.9:53", "::1", "9.9.9.256"])
def test_a_name_server_that_is_no_address_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.setenv("CRONIUM_EGRESS_DNS", given)
    load_config.cache_clear()
    try:
        with pytest.raises(SystemExit) as stopped:
            load_config()
    finally:
        monkeypatch.undo()
        load_config.cache_clear()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "CRONIUM_EGRESS_DNS" in said
    assert "9.9.9.9" in said, "the message names the allowed values"


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The error message of a start with these settings."""
    load_config.cache_clear()
    try:
        with pytest.raises(SystemExit) as stopped:
            load_config()
    finally:
        load_config.cache_clear()
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["unix:///run/docker.sock", "tcp://10.0.0.1:2376", "ssh://there", "ssh://me@there:22/s"]
)
def test_an_engine_has_one_of_these_addresses(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CRONIUM_DOCKER_HOST", url)
    assert Config().docker_host == url


@pytest.mark.parametrize("url", ["there", "ssh://", "ssh://me:word@there", "ssh://there:port", "npipe://there"])
def test_an_engine_address_that_is_none_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("CRONIUM_DOCKER_HOST", url)
    assert "CRONIUM_DOCKER_HOST" in refused(capsys)


def test_the_executor_reads_the_certificates_that_the_settings_ask_for() -> None:
    assert connection.CERTIFICATES == CERTIFICATES  # neither may import the other


@pytest.mark.parametrize("missing", ["ca.pem", "cert.pem", "key.pem"])
def test_a_missing_certificate_is_named_before_the_engine_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, missing: str
) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    monkeypatch.setenv("CRONIUM_DOCKER_HOST", "tcp://10.0.0.1:2376")
    monkeypatch.setenv("CRONIUM_DOCKER_CERT_PATH", str(tmp_path))
    assert Config().docker_cert_path == str(tmp_path)
    (tmp_path / missing).unlink()
    said = refused(capsys)
    assert said.startswith(f"CRONIUM_DOCKER_CERT_PATH: {str(tmp_path)!r} is not allowed: {missing} is not there")
    assert "ca.pem, cert.pem, key.pem" in said


@pytest.mark.parametrize("url", ["", "unix:///run/docker.sock", "ssh://there"])
def test_certificates_are_for_tls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("CRONIUM_DOCKER_HOST", url)
    monkeypatch.setenv("CRONIUM_DOCKER_CERT_PATH", "/somewhere")
    assert "CRONIUM_DOCKER_HOST=tcp://" in refused(capsys)


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://[2001:db8::5]", "https://[2001:db8::5]", "[2001:db8::5]"),
        ("https://[2001:DB8:0::5]:8443/", "https://[2001:db8::5]:8443", "[2001:db8::5]"),
        ("https://Cronium.Example.org:443/path/", "https://cronium.example.org", "cronium.example.org"),
        ("http://10.0.0.5:80", "http://10.0.0.5", "10.0.0.5"),
        ("http://cronium.example.org:8000", "http://cronium.example.org:8000", "cronium.example.org"),
    ],
)
def test_the_dashboards_address_is_known_as_browsers_send_it(
    monkeypatch: pytest.MonkeyPatch, url: str, origin: str, host: str
) -> None:
    monkeypatch.setenv("CRONIUM_BACKEND_URL", url)
    made = Config()
    assert made.backend_origin == origin
    assert any(validate_host(split_domain_port(sent)[0], made.known_hosts) for sent in (host, f"{host}:8443"))


def test_an_ipv6_address_to_listen_on_is_a_known_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONIUM_HOST", "2001:db8::7")
    assert validate_host(split_domain_port("[2001:db8::7]:8000")[0], Config().known_hosts)


@pytest.mark.parametrize("url", ["https://", "https://[2001:db8::5", "https://host:port", "https://me:pw@host"])
def test_an_address_of_the_dashboard_that_is_none_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("CRONIUM_BACKEND_URL", url)
    assert "https://cronium.example.org" in refused(capsys)


@pytest.mark.parametrize(
    ("cores", "memory_gb", "expected"), [(2, 24, 16), (2, 4, 4), (1, 1, 2), (16, 64, 64), (64, 1024, 512)]
)
def test_the_default_number_of_slots_follows_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory_gb: int, expected: int
) -> None:
    monkeypatch.delenv("CRONIUM_MAX_CONCURRENT", raising=False)
    pages = memory_gb * 1024**3 // 4096
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("os.sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else 4096)
    assert Config().max_concurrent == expected


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("SNAPSHOT", "2026-11-01"),
        ("SNAPSHOT", "20261101T000000Z/../x"),
        ("SNAPSHOT_MIRROR", "http://user:secret@snap.example/archive"),
        ("SNAPSHOT_MIRROR", "snap.example"),
        ("SNAPSHOT_MIRROR", "http://snap.example/$(id)"),
    ],
)
def test_a_wrong_snapshot_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, given: str
) -> None:
    monkeypatch.setenv(f"CRONIUM_IMAGE_DEBIAN_{name}", given)
    load_config.cache_clear()
    try:
        with pytest.raises(SystemExit):
            load_config()
    finally:
        monkeypatch.undo()
        load_config.cache_clear()
    said = capsys.readouterr().err
    assert f"CRONIUM_IMAGE_DEBIAN_{name}" in said
    assert "secret@" not in said


def test_builds_of_custom_images_reach_the_snapshot(settings: Any) -> None:
    values = {"image_debian_snapshot": "20261101T000000Z", "image_debian_snapshot_mirror": "http://snap.example/a"}
    assert "snap.example:80" not in list_egress()
    settings.CONFIG = settings.CONFIG.model_copy(update=values)
    assert "snap.example:80" in list_egress()
