"""The debug page and `repr` of the settings show no credential."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from tests.unit.test_data_folder import manage

SCRIPT = """
import sys
from django.conf import settings
from django.test import RequestFactory
from django.views.debug import technical_500_response

def fail():
    own, address = settings.CONFIG, settings.CONFIG.redis
    raise ValueError("broken")

for headers in ({}, {"HTTP_ACCEPT": "text/plain"}):
    try:
        fail()
    except ValueError:
        answer = technical_500_response(RequestFactory().get("/", **headers), *sys.exc_info())
        print(answer["Content-Type"], answer.content.decode())
print(repr(settings.CONFIG), str(settings.CONFIG))
"""


def marked(name: str) -> str:
    return f"marked-{name}-" + "x" * 32


KEY = urlsafe_b64encode(b"marked-encryption-key-0123456789").decode()
NAMES = ("database", "redis", "secret", "admin", "metrics", "access", "s3secret")
CREDENTIALS = {name: marked(name) for name in NAMES}
ENVIRONMENT = {
    "CRONIUM_DEBUG": "true",
    "CRONIUM_DATABASE_URL": f"postgres://me:{CREDENTIALS['database']}@127.0.0.1:9/name",
    "CRONIUM_REDIS_URL": f"redis://:{CREDENTIALS['redis']}@127.0.0.1:9/0",
    "CRONIUM_SECRET_KEY": CREDENTIALS["secret"],
    "CRONIUM_ENCRYPTION_KEYS": KEY,
    "CRONIUM_ADMIN_PASSWORD": CREDENTIALS["admin"],
    "CRONIUM_METRICS_TOKEN": CREDENTIALS["metrics"],
    "CRONIUM_LOG_S3_ACCESS_KEY": CREDENTIALS["access"],
    "CRONIUM_LOG_S3_SECRET_KEY": CREDENTIALS["s3secret"],
}


def check_hidden(text: str) -> None:
    for name, credential in {**CREDENTIALS, "encryption": KEY}.items():
        assert credential not in text, name


def test_no_credential_is_shown(tmp_path: Path) -> None:
    done = manage(tmp_path / "data", "shell", "-v0", "-c", SCRIPT, **ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    for shown in (
        "text/html",
        "text/plain",
        "CELERY_BROKER_URL",
        "CHANNEL_LAYERS",
        "CACHES",
        "DATABASES",
        "max_requests=",
    ):
        assert shown in done.stdout
    check_hidden(done.stdout)


@pytest.mark.parametrize(
    "command", [("diffsettings",), ("diffsettings", "--all"), ("diffsettings", "--output=unified")]
)
def test_no_command_that_shows_settings_shows_a_credential(command: tuple[str, ...], tmp_path: Path) -> None:
    done = manage(tmp_path / "data", *command, **ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert "CELERY_BROKER_URL" in done.stdout
    check_hidden(done.stdout + done.stderr)


CELERY = """
from celery.apps.worker import Worker
from cronium_admin.celery import app
print(Worker(app=app).startup_info(), app.bugreport(), app.connection())
assert app.conf.broker_connection_retry_on_startup and not app.conf.worker_hijack_root_logger
"""


@pytest.mark.long
def test_celery_and_doctor_show_none(tmp_path: Path) -> None:
    """Both are given a database or Redis that does not answer, so that they print errors."""
    banner = manage(tmp_path / "data", "shell", "-v0", "-c", CELERY, **ENVIRONMENT)
    assert "transport" in banner.stdout, banner.stderr
    check_hidden(banner.stdout + banner.stderr)
    doctor = manage(tmp_path / "data", "doctor", **ENVIRONMENT)
    assert "redis" in doctor.stdout.lower()
    check_hidden(doctor.stdout + doctor.stderr)
