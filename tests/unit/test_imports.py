"""Modules that a process does not use are not loaded: they cost memory, and time at its start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# As `manage.py serve` and its first request load them.
LIST_MODULES = """
import json, sys
import django
django.setup()
import cronium_admin.web.management.commands.{command}, cronium_admin.web.asgi, cronium_admin.web.urls
from django.urls import get_resolver
get_resolver().check()
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def list_packages(folder: Path, command: str, **env: str) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    environment |= {"CRONIUM_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "cronium_admin.settings", **env}
    process = [sys.executable, "-c", LIST_MODULES.format(command=command)]
    result = subprocess.run(process, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)
    return set(json.loads(result.stdout))


UNUSED_BY_SERVE = ["celery", "kombu", "amqp", "redis", "channels_redis", "psycopg", "psycopg_pool", "boto3", "paramiko"]


@pytest.fixture(scope="module")
def loaded_by_serve(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return list_packages(tmp_path_factory.mktemp("data"), "serve")


@pytest.mark.parametrize("package", UNUSED_BY_SERVE)
def test_serve_without_services_does_not_load(package: str, loaded_by_serve: set[str]) -> None:
    assert package not in loaded_by_serve


def test_web_loads_the_clients_of_its_services_before_the_first_request(tmp_path: Path) -> None:
    services = {"CRONIUM_DATABASE_URL": "postgres://user@127.0.0.1:1/name", "CRONIUM_REDIS_URL": "redis://127.0.0.1:1"}
    assert {"celery", "redis", "psycopg"} <= list_packages(tmp_path, "web", **services)
