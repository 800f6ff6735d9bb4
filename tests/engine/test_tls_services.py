"""A real PostgreSQL and a real Redis with TLS: the options of both URLs decide which servers are trusted."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_library

from tests.engine.server import ROOT, environment, free_port
from tests.fakes.certificates import Certificates

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
needs_postgres = pytest.mark.skipif(not POSTGRES, reason="needs PostgreSQL's own programs")
needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
# The use of Redis by each of its clients, in a process that has the URL.
TALK = """
import asyncio, django
django.setup()
from django.conf import settings
from django.core.cache import cache
from cronium_admin.celery import app
from cronium_admin.workers.health.checks.services import send_through_layer
cache.set("a", 1); assert cache.get("a") == 1
asyncio.run(send_through_layer(5))
with app.connection_for_write() as connection:
    connection.ensure_connection(max_retries=1)
    connection.default_channel.client.ping()
assert settings.CONFIG.redis.make_client(5).ping()
print("all answered")
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    return Certificates(folder)


def python(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    made = environment(folder, **env) | {"DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=made, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[int]:
    port, here = free_port(), certificates.folder / "server"
    files = [
        "--tls-cert-file",
        here / "cert.pem",
        "--tls-key-file",
        here / "key.pem",
        "--tls-ca-cert-file",
        here / "ca.pem",
    ]
    where = ["--dir", tmp_path_factory.mktemp("redis"), "--save", "", "--bind", "127.0.0.1", "--tls-auth-clients", "no"]
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--tls-port", str(port), *map(str, files), *map(str, where)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        client = redis_library.Redis(port=port, ssl=True, ssl_cert_reqs="none")
        for _ in range(100):
            try:
                client.ping()
                break
            except redis_library.ConnectionError:
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@needs_redis
@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_redis_over_tls_is_talked_to_by_all_its_users(
    scheme: str, redis_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    authority = certificates.folder / "server" / "ca.pem"
    url = f"{scheme}://127.0.0.1:{redis_port}/0?ssl_ca_certs={authority}"
    done = python(tmp_path, "-c", TALK, CRONIUM_REDIS_URL=url)
    assert "all answered" in done.stdout, done.stderr[-3000:]


@needs_redis
@pytest.mark.parametrize("query", ["", "?ssl_ca_certs={theirs}"])
def test_redis_with_a_certificate_of_a_stranger_is_refused(
    query: str, redis_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    theirs = certificates.folder / "stranger" / "ca.pem"
    url = f"rediss://127.0.0.1:{redis_port}/0{query.format(theirs=theirs)}"
    for part in (
        "cache.set('a', 1)",
        "asyncio.run(send_through_layer(5))",
        "connection.ensure_connection(max_retries=1)",
    ):
        start, rest = TALK.split("cache.set", 1)[0], part
        if "connection" in part:
            rest = f"app.connection_for_write().{part.removeprefix('connection.')}"
        done = python(tmp_path, "-c", f"{start}\n{rest}", CRONIUM_REDIS_URL=url)
        assert done.returncode != 0, part
        assert "certificate verify failed" in done.stderr.lower(), part


def as_owner(*command: str | Path, cwd: Path) -> None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        command = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, timeout=60, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def postgres_port(certificates: Certificates) -> Iterator[int]:
    folder, port = (
        Path(subprocess.check_output(["mktemp", "-d", "/tmp/cronium-tls.XXXXXX"], text=True).strip()),
        free_port(),
    )
    for name in ("cert.pem", "key.pem"):
        shutil.copy(certificates.folder / "server" / name, folder)
    (folder / "key.pem").chmod(0o600)
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    tls = f"-c ssl=on -c ssl_cert_file={folder}/cert.pem -c ssl_key_file={folder}/key.pem"
    try:
        as_owner(
            POSTGRES[-1] / "initdb", "-D", folder / "data", "-U", "cronium", "-A", "trust", "--no-sync", cwd=folder
        )
        # No connection without TLS is accepted.
        (folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off {tls}"
        as_owner(
            POSTGRES[-1] / "pg_ctl",
            "-D",
            folder / "data",
            "-l",
            folder / "log",
            "-w",
            "start",
            "-o",
            options,
            cwd=folder,
        )
        yield port
        as_owner(POSTGRES[-1] / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop", cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


ASK = """
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl, current_setting('statement_timeout') FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    print(cursor.fetchone(), connection.connection.pgconn.parameter_status(b"application_name"))
"""


@needs_postgres
def test_postgresql_over_tls_takes_every_option_of_its_url(
    postgres_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    authority = certificates.folder / "server" / "ca.pem"
    url = (
        f"postgres://cronium@127.0.0.1:{postgres_port}/postgres?sslmode=verify-full&sslrootcert={authority}"
        "&application_name=told&options=-c%20statement_timeout%3D7s"
    )
    done = python(tmp_path, "-c", ASK, CRONIUM_DATABASE_URL=url)
    assert "(True, '7s') b'told'" in done.stdout, done.stderr[-3000:]


@needs_postgres
def test_postgresql_with_a_certificate_of_a_stranger_is_refused(
    postgres_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    theirs = certificates.folder / "stranger" / "ca.pem"
    url = f"postgres://cronium@127.0.0.1:{postgres_port}/postgres?sslmode=verify-full&sslrootcert={theirs}&pool=false"
    done = python(tmp_path, "manage.py", "migrate", "--check", CRONIUM_DATABASE_URL=url)
    assert done.returncode != 0
    assert "certificate verify failed" in done.stderr
