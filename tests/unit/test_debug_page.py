"""The debug page and `repr` of the settings show no credential."""

from base64 import urlsafe_b64encode
from pathlib import Path

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


def test_no_credential_is_shown(tmp_path: Path) -> None:
    key = urlsafe_b64encode(b"marked-encryption-key-0123456789").decode()
    names = ("database", "redis", "secret", "admin", "metrics", "access", "s3secret")
    database, redis, secret, admin, metrics, access, s3secret = map(marked, names)
    done = manage(
        tmp_path / "data",
        *("shell", "-v0", "-c", SCRIPT),
        CRONIUM_DEBUG="true",
        CRONIUM_DATABASE_URL=f"postgres://me:{database}@127.0.0.1:9/name",
        CRONIUM_REDIS_URL=f"redis://:{redis}@127.0.0.1:9/0",
        CRONIUM_SECRET_KEY=secret,
        CRONIUM_ENCRYPTION_KEYS=key,
        CRONIUM_ADMIN_PASSWORD=admin,
        CRONIUM_METRICS_TOKEN=metrics,
        CRONIUM_LOG_S3_ACCESS_KEY=access,
        CRONIUM_LOG_S3_SECRET_KEY=s3secret,
    )
    assert done.returncode == 0, done.stderr
    page = done.stdout
    for shown in (
        "text/html",
        "text/plain",
        "CELERY_BROKER_URL",
        "CHANNEL_LAYERS",
        "CACHES",
        "DATABASES",
        "max_requests=",
    ):
        assert shown in page
    for credential in (database, redis, secret, admin, metrics, access, s3secret, key):
        assert credential not in page, credential[:20]
