# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""Every route and method of the dashboard is in a table of permissions, and is tested against it.

The tables are ROUTES (REST), PAGES, and below the public routes and those of Django. The methods come from the server:
an unknown method gets 405 with the list of the allowed ones.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.page_permissions import HAS_CHECK
from cronium_admin.jobs.models import Job
from cronium_admin.logs.urls import websocket_urlpatterns
from cronium_admin.ops import readiness
from cronium_admin.runs.models import Run
from cronium_admin.web.api import api
from tests.conftest import ROLES
from tests.unit.test_api_access import ROUTES
from tests.unit.test_pages_rights import PAGES, address  # noqa: F401 - a fixture

Address = Callable[[str, str], str]
NO_PING = "/ping/00000000-0000-4000-8000-000000000000"  # of no check
# Public routes: (method, URL, status without authentication, status of each user).
OPEN: list[tuple[str, str, int, int]] = [
    ("GET", "/sign-in/", 200, 302),
    ("POST", "/sign-in/", 200, 302),
    ("POST", "/sign-out/", 302, 302),
    ("GET", "/api/v1/health", 200, 200),
    ("GET", "/health", 200, 200),
    ("GET", "/api/v1/ready", 200, 200),
    ("GET", "/ready", 200, 200),
    ("GET", "/api/v1/openapi.json", 200, 200),
    ("GET", "/api/v1/docs", 200, 200),
    ("GET", NO_PING, 404, 404),
    ("POST", NO_PING, 404, 404),
    ("GET", f"{NO_PING}/start", 404, 404),
    ("POST", f"{NO_PING}/start", 404, 404),
]
# Tested with rows in other files: another user's token is not found.
TESTED_APART = {
    ("DELETE", "api/v1/tokens/<int:pk>"): "test_tokens: only its owner and administrators revoke it",
    ("POST", "access/<int:pk>/revoke/"): "test_pages_rights: only its owner revokes it",
    ("GET", "metrics"): "test_ops: as /api/v1/metrics",
    ("POST", "account/sessions/<int:pk>/"): "test_people: only its person ends it",
    ("GET", "help/<slug:name>/"): "test_help: each signed-in user reads the documentation",
}
# The last URL of a tree, which answers for unknown URLs.
NOTHING_THERE = {"api/v1/"}
SOCKETS = {"ws/runs/<uuid:run_id>/logs": "viewer"}


def _walk(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, route)
        else:
            yield route


def _everywhere() -> set[str]:
    return {route for route in _walk(get_resolver().url_patterns) if not route.startswith("admin/")} - NOTHING_THERE


def _samples(address: Address, run: Run) -> list[tuple[str, str]]:
    """(method, URL) of every row of every table."""
    found = [
        (method, "/api/v1" + path.format(run=run.pk, ended=run.pk).partition("?")[0]) for method, path, *_ in ROUTES
    ]
    found += [(method.upper(), address(view, kind).partition("?")[0]) for method, view, kind, _ in PAGES]
    return found + [(method, url) for method, url, *_ in OPEN]


def test_every_route_is_in_a_table(address: Address, run: Run) -> None:
    known = {resolve(url).route for _, url in _samples(address, run)} | {route for _, route in TESTED_APART}
    assert _everywhere() == known


def _walk_views(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk_views(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def test_every_page_checks_permissions() -> None:
    open_routes = {resolve(url).route for _, url, *_ in OPEN} | {"metrics"}
    unchecked = {
        route
        for route, view in _walk_views(get_resolver().url_patterns)
        if not route.startswith(("admin/", "api/v1/")) and not getattr(view, HAS_CHECK, False)
    }
    assert unchecked <= open_routes


def test_every_method_of_every_route_is_in_a_table(
    address: Address,
    run: Run,
    people: dict[str, User],
    make_job: Callable[..., Job],
) -> None:
    make_job(slug="idle", name="Idle")
    client = Client()
    client.force_login(people["admin"])
    known: dict[str, set[str]] = {}
    urls: dict[str, str] = {}
    for method, url in _samples(address, run):
        route = resolve(url).route
        known.setdefault(route, set()).add(method)
        urls[route] = url
    taken = {}
    for route, url in urls.items():
        # The sign-in page redirects signed-in users for every request.
        answer = (Client() if url == "/sign-in/" else client).generic("BREW", url)
        assert answer.status_code == 405, f"{url} takes any method ({answer.status_code})"
        taken[route] = set(answer["Allow"].replace(" ", "").split(",")) - {"HEAD", "OPTIONS"}
    assert taken == known


@pytest.mark.parametrize(("method", "url", "stranger", "person"), OPEN)
def test_what_is_open_says_the_same_to_everybody(
    method: str, url: str, stranger: int, person: int, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "get_openapi_schema", lambda **_: {})  # it is slow; permissions are tested here
    monkeypatch.setattr(readiness, "CHECKS", {"database": lambda: True})  # test_ops tests the real checks
    assert Client().generic(method, url).status_code == stranger
    for role in ROLES:
        client = Client()
        client.force_login(people[role])
        assert client.generic(method, url).status_code == person, role


def _admin_urls() -> list[str]:
    """Every URL of the admin site, with values for its parameters."""
    from django.contrib.admin import site

    found = [reverse(f"admin:{one.name}", args=_args(one)) for one in _patterns(site.urls[0]) if one.name]
    assert len(found) > 30
    return found


def _patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns)
        else:
            yield one


def _args(pattern: URLPattern) -> list[str]:
    names = list(pattern.pattern.converters) or list(getattr(pattern.pattern, "regex", None).groupindex)  # type: ignore[union-attr]
    return ["jobs" if name == "app_label" else "1" for name in names]


@pytest.mark.parametrize("role", [None, "viewer", "operator", "editor"])
def test_the_back_office_is_closed_to_all_but_administrators(role: str | None, people: dict[str, User]) -> None:
    client = Client()
    if role:
        client.force_login(people[role])
    for url in _admin_urls():
        for method in ("GET", "POST"):
            answer = client.generic(method, url)
            if url in (reverse("admin:login"), reverse("admin:logout"), reverse("admin:jsi18n")):
                assert answer.status_code < 500
                continue
            assert answer.status_code in (302, 403), (method, url)
            if answer.status_code == 302:
                assert "sign-in" in answer["Location"] or "login" in answer["Location"], (method, url)


def test_every_socket_is_in_the_table() -> None:
    assert {str(one.pattern) for one in websocket_urlpatterns} == set(SOCKETS)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
async def test_each_role_at_the_socket_of_a_log(run: Run, people: dict[str, User]) -> None:
    from cronium_admin.core import notify
    from cronium_admin.web.asgi import application

    notify.bind_loop(asyncio.get_running_loop())
    for role in (None, *ROLES):
        headers = [(b"host", b"testserver")]
        if role:
            _, token = await sync_to_async(ApiToken.mint)(people[role], "tests")
            headers.append((b"authorization", f"Bearer {token}".encode()))
        scope = {"type": "websocket", "path": f"/ws/runs/{run.pk}/logs", "headers": headers, "subprotocols": []}
        one = ApplicationCommunicator(application, scope | {"query_string": b""})
        await one.send_input({"type": "websocket.connect"})
        assert (await one.receive_output(5))["type"] == "websocket.accept"
        first = await one.receive_output(5)
        if role is None:
            assert (first["type"], first["code"]) == ("websocket.close", 4403)
        else:
            assert first["type"] == "websocket.send", role
            await one.send_input({"type": "websocket.disconnect", "code": 1001})
            await one.wait(5)
