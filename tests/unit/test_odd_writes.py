# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""No write of a page or of the API answers 500 to what is stored: rows of before an upgrade, damage, other programs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from cronium_admin.access.models import User
from cronium_admin.hosts.models import Host
from cronium_admin.runs.models import Run
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from tests.conftest import Api
from tests.unit.test_api_access import ROUTES
from tests.unit.test_odd_values import ODD
from tests.unit.test_pages_rights import PAGES, address  # noqa: F401 - a fixture

JOB = {
    **{"name": "New", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60", "cpu": "1"},
    **{"memory_mb": "64", "pids": "20", "log_limit_mb": "5", "on_log_limit": "drop", "image": "corp/bash:1"},
    **{"network": "egress", "egress_text": "api.example.com:443", "read_only_root": "on", "enabled": "on"},
    **{"input_text": "{}", "tags_text": "a b", "launch_env_text": "DAY", "queue": "default", "log_keep_days": "3"},
    **{"log_keep_runs": "3", "run_keep_days": "3", "run_keep_runs": "3", "revision": "1", "env_name": "A"},
    **{"env_value": "b", "secrets": "API_KEY", "then": "run"},
}
PROFILE = {"name": "tiny", "cpu": "1", "memory_mb": "64", "pids": "20", "log_limit_mb": "9", "runtime": "runc"}
LAUNCH = {"input": "{}", "timeout_seconds": "9", "profile": "small", "cpu": "1", "memory_mb": "64", "pids": "20"}
PERSON = {"username": "new", "role": "viewer", "password": "a long new secret"}
VARIABLE = {"scope": "shared", "name": "fresh", "text": "1", "version": "1"}
FIELDS: dict[str, dict[str, str]] = {
    "jobs:new": JOB,
    "jobs:edit": JOB,
    "runs:launch": LAUNCH,
    "retention:many": {"job": "report", "status": "failed", "before": "2026-01-01", "confirmed": "1"},
    "images:override": {"reference": "corp/bash:1", "confirmed": "all", "version": "1"},
    "images:reset": {"version": "1"},
    "profiles:create": PROFILE,
    "profiles:edit": {**PROFILE, "version": "1"},
    "secrets:create": {"name": "FRESH", "value": "a value", "description": "words"},
    "secrets:replace": {"value": "a value", "description": "words", "version": "1"},
    "variables:new": VARIABLE,
    "variables:edit": VARIABLE,
    "variables:delete": {"version": "1"},
    "hosts:drain": {"draining": "on", "version": "1"},
    "access:tokens": {"name": "ci", "expires": "30d"},
    "access:add": PERSON,
    "access:person": {"role": "editor", "version": "1"},
    "access:switch": {"active": "off", "version": "1"},
    "access:reset-password": {"version": "1"},
    "account:password": {"current": "x", "password": "a long new secret", "again": "a long new secret"},
}
POSTS = [(view, kind) for method, view, kind, _ in PAGES if method == "post"]


@pytest.fixture
def rows(run: Run, people: dict[str, User], address: Callable[[str, str], str]) -> Callable[[str, str], str]:
    Secret.objects.get_or_create(name="API_KEY", defaults={"encrypted": encrypt("API_KEY", "a value")})
    return address


@pytest.fixture
def browser(people: dict[str, User]) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(people["admin"])
    return client


def _undone(ask: Callable[[], HttpResponse]) -> int:
    """The status, with nothing changed for the next request."""
    point = transaction.savepoint()
    try:
        return int(ask().status_code)
    finally:
        transaction.savepoint_rollback(point)


def _writes(run: Run) -> Iterator[tuple[str, str, Any]]:
    for method, path, body, *_ in ROUTES:
        if method != "GET":
            yield method, path.format(run=run.pk, ended=run.pk), body


@pytest.fixture
def urls(rows: Callable[[str, str], str]) -> dict[str, str]:
    """The address of every form."""
    made: dict[str, str] = {}
    for view, kind in POSTS:
        made[view] = rows(view, kind)
    return made


@pytest.mark.parametrize("what", ODD)
def test_every_write_over_odd_rows(
    what: str, run: Run, urls: dict[str, str], browser: Client, people: dict[str, User]
) -> None:
    ODD[what](run)
    one, broken = Api(people["admin"]), []
    for view, url in urls.items():
        for fields in ({}, FIELDS.get(view, {})):
            status = _undone(lambda url=url, fields=fields: browser.post(url, fields))  # type: ignore[misc]
            broken += [(view, status)] if status >= 500 else []
    for method, path, body in _writes(run):
        status = _undone(lambda args=(method, path, body): one.call(*args))  # type: ignore[misc]
        broken += [(f"{method} {path}", status)] if status >= 500 else []
    assert not broken


def test_draining_a_host_in_a_refused_state_says_why(
    urls: dict[str, str], browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page was older than another administrator's drain; or the host was deleted since the page was loaded."""
    assert browser.post(urls["hosts:drain"], {"draining": "on", "version": "1"}).status_code == 302
    late = browser.post(urls["hosts:drain"], {"draining": "off", "version": "1"})
    assert late.status_code == 409
    assert "admin saved version 2" in late.content.decode()
    assert Host.objects.get(name="east").draining

    def delete_first(model: Any, pk: int) -> Host:
        row = Host.objects.get(pk=pk)
        Host.objects.all().delete()
        return row

    monkeypatch.setattr("cronium_admin.hosts.views.get_object_or_404", delete_first)
    gone = browser.post(urls["hosts:drain"], {"draining": "on", "version": "2"})
    assert gone.status_code == 404
    assert "There is no host" in gone.content.decode()
