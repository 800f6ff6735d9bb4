# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""No page and no route answers 5xx or logs a traceback, for any request, any URL and any rows."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.images import inventory
from cronium_admin.images.models import ImageOverride
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from cronium_admin.web.api import api
from cronium_admin.workers.hosts.models import Host
from tests.unit import odd_requests as odd
from tests.unit.log_storage import give_log
from tests.unit.test_api_access import ROUTES
from tests.unit.test_odd_values import GROUPS
from tests.unit.test_pages_rights import PAGES, address  # noqa: F401 - a fixture
from tests.users import get_admin

pytestmark = pytest.mark.long
Address = Callable[[str, str], str]
Send = Callable[..., HttpResponse]
# Input for fields that are empty at first, so that the form passes its own checks.
TYPED = {
    **{"name": "FRESH", "username": "fresh", "password": "a long new secret", "again": "a long new secret"},
    **{"current": "the old secret", "value": "a value", "reference": "corp/bash:1", "cpu": "1", "memory_mb": "64"},
    **{"pids": "20", "env_name": "A", "env_value": "b", "scope": "shared", "text": "1", "input": "{}"},
    **{"address": "fresh.example:5000", "secret": "a value", "helper": "ecr-login"},
    **{"image": "ubuntu", "rule": "0 2 * * *", "crontab": "0 2 * * * true"},
    **{"egress_text": "api.example.com:443", "launch_env_text": "DAY", "before": "2026-01-01"},
}

ONLY_READ = (
    "runs:input-fields",
    "runs:launch-form",  # htmx follows the redirect in its header
    "jobs:image-info",
    "jobs:try-key",
    "schedules:preview",
    "calendars:preview",
    "planning:hint",
    "schedules:import",
)


@pytest.fixture
def rows(run: Run, people: dict[str, User], address: Address) -> Address:
    """Rows for every URL, and for every form."""
    Secret.objects.create(name="API_KEY", encrypted=encrypt("API_KEY", "a value"))
    ImageOverride.objects.create(language="bash", reference="corp/bash:1")
    inventory.store_report("east", [inventory.ReportedImage("sha256:1", ("other:1",), 1)])  # corp/bash can be pulled
    ended = launch(run.job, get_admin())
    Run.objects.filter(pk=ended.pk).update(status="failed", finished_at=timezone.now())
    give_log(ended, b"one\ntwo\n")
    ApiToken.mint(people["admin"], "old")
    people["admin"].set_password("the old secret")
    people["admin"].save()
    return address


@pytest.fixture
def browser(people: dict[str, User], rows: Address) -> Client:
    client = odd.PlainClient()
    client.force_login(people["admin"])
    return client


@pytest.fixture(autouse=True)
def _strict_database(db: None) -> Iterator[None]:
    with odd.as_strict_as_postgresql():
        yield


@pytest.fixture
def sweep() -> Iterator[odd.Sweep]:
    with odd.sweep() as found:
        yield found


@pytest.fixture
def call(people: dict[str, User], rows: Address) -> Send:
    """Sends an API request with an administrator's token."""
    client, (row, token) = odd.PlainClient(), ApiToken.mint(people["admin"], "tests")
    # The first use of a token is recorded; here, each request would be the first, as requests are rolled back.
    ApiToken.objects.filter(pk=row.pk).update(last_used_at=timezone.now())

    def send(
        method: str,
        path: str,
        body: bytes = b"",
        type_: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> HttpResponse:
        named = {"Authorization": f"Bearer {token}", **(headers or {})}
        return client.generic(method, "/api/v1" + path, body, content_type=type_, headers=named)

    return send


@pytest.fixture
def get_urls(rows: Address) -> list[str]:
    ended = Run.objects.get(number=2).pk
    urls = {rows(view, kind) for method, view, kind, _ in PAGES if method == "get"}
    return sorted(urls | {f"/runs/{ended}/", "/runs/delete/?job=report", "/jobs/?state=waiting"})


@pytest.fixture
def forms(browser: Client, get_urls: list[str]) -> dict[str, odd.Form]:
    """Every form with POST, by its view, with the values that a browser sends."""
    found: dict[str, odd.Form] = {}
    for url in get_urls:
        answer = browser.get(url)
        is_page = answer["Content-Type"].startswith("text/html")
        for form in odd.forms_of(url, answer.content) if is_page else ():
            view = resolve(form.action.partition("?")[0]).view_name
            if form.method == "post":
                known = found.setdefault(view, form)
                known.values = {**form.values, **known.values}
    for form in found.values():
        form.values = {name: text or TYPED.get(name, "") for name, text in form.values.items()}
    found["profiles:create"].values["name"] = "fresh"
    found["images:image-new"].values |= {"name": "fresh", "python": "requests", "node": "", "system": "", "steps": ""}
    found["access:switch"].values["active"] = "on"
    bulk = {"job": str(Run.objects.get(number=1).job_id), "act": "enable", "confirmed": "yes"}  # as its second page
    found["runs:bulk"].values |= bulk
    found["runs:bulk-runs"].values |= {"run": str(Run.objects.get(number=1).pk), "act": "cancel", "confirmed": "yes"}
    found["images:override"].values["confirmed"] = "all"  # as its second page sends it
    checked = {"language": "python", "image": "cronium/custom/x:1", "script": "import x", "job": "report", "v": ""}
    found["jobs:image-info"] = odd.Form("/job-image/", "post", checked)  # the editor's, while its form changes
    tried = {"concurrency_key": "customer.id", "input_text": '{"customer": {"id": 1}}', "job": "report"}
    found["jobs:try-key"] = odd.Form("/job-key/", "post", tried)
    found["runs:try"] = odd.Form("/runs/try/report/", "post", dict(found["jobs:edit"].values))  # its button's address
    found["runs:launch"].values.pop("show", None)  # it fills the form
    found["runs:launch-form"] = odd.Form("/runs/launch/report/form/", "post", dict(found["runs:launch"].values))
    found["jobs:restore"] = odd.Form("/jobs/report/history/restore/", "post", {"number": "1", "revision": "1"})
    found["runs:launch-in-editor"] = odd.Form("/runs/launch/report/in-editor/", "post", {})
    shown = {"job": "report", "input_text": '{"a": 1}', "input_schema_text": "", "as": "fields", "start_zone": "UTC"}
    found["runs:input-fields"] = odd.Form("/runs/input-fields/", "post", shown)
    found["schedules:import"].values.pop("then", None)  # it shows the entries first
    for view in ("schedules:new", "schedules:edit"):
        found[view].values.pop("then", None)  # "Show times" stores nothing
        found[view].values |= {"name": "fresh"}
    found["schedules:preview"] = odd.Form("/schedules/preview/", "post", dict(found["schedules:edit"].values))
    hinted = {**found["schedules:edit"].values, "job": "report", "schedule": "1"}
    found["planning:hint"] = odd.Form("/schedules/week/hint/", "post", hinted)
    found["calendars:preview"] = odd.Form("/calendars/preview/", "post", dict(found["calendars:edit"].values))
    for view in ("calendars:new", "calendars:edit"):
        found[view].values.pop("then", None)
        found[view].values |= {"name": "fresh" if view == "calendars:new" else "berlin"}
    return found


@pytest.fixture
def post(browser: Client) -> Callable[..., HttpResponse]:
    """Sends a form with some fields changed."""

    def send(form: odd.Form, changes: dict[str, str], without: str = "", upload: str = "") -> HttpResponse:
        values = {name: text for name, text in {**form.values, **changes}.items() if name not in (without, upload)}
        return browser.post(form.action, *odd.typed(values, upload))

    return send


def _paths() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and body of every route of the API, with existing rows."""
    run, ended = Run.objects.get(number=1).pk, Run.objects.get(number=2).pk
    return [(method, path.format(run=run, ended=ended), body or {}) for method, path, body, *_ in ROUTES]


@pytest.fixture(scope="module")
def operations() -> list[odd.Operation]:
    return odd.operations(api.get_openapi_schema())


def test_every_form_is_found_and_taken_as_it_is(forms: dict[str, odd.Form], post: Send, sweep: odd.Sweep) -> None:
    """The unchanged forms are valid; the other tests change one field."""
    posts = {view for method, view, *_ in PAGES if method == "post"}
    assert posts - set(forms) <= {"account:end-others"}  # shown when there are others
    for view, form in forms.items():
        is_answered = view in ONLY_READ or view in ("runs:bulk", "runs:bulk-runs")  # by a page with the results
        assert sweep.ask(post, form, {}) in ((200,) if is_answered else (302, 307)), view
    sweep.check()


def test_no_form_complains_in_djangos_words(forms: dict[str, odd.Form], post: Send, sweep: odd.Sweep) -> None:
    answers: dict[str, str] = {}

    def send(form: odd.Form, text: str) -> HttpResponse:
        answer = post(form, dict.fromkeys(form.values, text))
        answers[f"{form.action} {text[:5]}"] = answer.content.decode()
        return answer

    for form in forms.values():
        for text in ("", "x" * 500, "9" * 30, "a\0b") if form.values else ():
            sweep.ask(send, form, text)
    for told, page in answers.items():
        for words in ("Ensure ", "This field", "cannot be blank", "Null characters", "Enter a valid", "Select a valid"):
            assert words not in page, (told, page[max(0, page.find(words) - 100) :][:250])


@odd.each_hand
def test_all_fields_of_every_form_at_once(hand: int, forms: dict[str, odd.Form], post: Send, sweep: odd.Sweep) -> None:
    for view, form in forms.items():
        for text in odd.deal(odd.TEXTS, hand, view) if form.values else []:
            sweep.ask(post, form, dict.fromkeys(form.values, text))
    sweep.check()


@odd.each_hand
def test_each_field_of_every_form(hand: int, forms: dict[str, odd.Form], post: Send, sweep: odd.Sweep) -> None:
    for view, form in forms.items():
        for name in form.values:
            sent = [*(({name: text}, "", "") for text in odd.DEEP_TEXTS), ({}, name, ""), ({}, "", name)]
            for changes, without, upload in [sent[0], *odd.deal(sent[1:], hand, view, name)]:  # NUL always
                sweep.ask(post, form, changes, without, upload)
    sweep.check()


@odd.each_hand
def test_every_body_of_every_form(hand: int, forms: dict[str, odd.Form], browser: Client, sweep: odd.Sweep) -> None:
    for view, form in forms.items():
        sent = odd.every_body() if view == "access:tokens" else odd.some_bodies()
        for body, type_ in odd.deal(sent, hand, view):
            sweep.ask(browser.generic, "POST", form.action, body, type_)
    sweep.check()


@odd.each_hand
def test_every_field_of_every_route(hand: int, operations: list[odd.Operation], call: Send, sweep: odd.Sweep) -> None:
    for method, path, given in _paths():
        operation = next(one for one in operations if one.matches(method, path.partition("?")[0]))
        assert set(given) <= set(operation.fields), path
        for value in odd.deal(odd.VALUES, hand, method, operation.path) if operation.fields else []:
            sweep.ask(call, method, path, odd.body({}, dict.fromkeys(operation.fields, value)))
        for name in operation.fields:
            others = odd.deal(odd.DEEP_VALUES[1:], hand, method, operation.path, name)
            for value in [odd.DEEP_VALUES[0], *others]:  # NUL always
                sweep.ask(call, method, path, odd.body(given, {name: value}))
    sweep.check()


@odd.each_hand
def test_every_body_of_every_route(hand: int, operations: list[odd.Operation], call: Send, sweep: odd.Sweep) -> None:
    for method, path, _ in _paths():
        operation = next(one for one in operations if one.matches(method, path.partition("?")[0]))
        sent = odd.every_body() if (method, path) == ("POST", "/jobs") else odd.some_bodies()
        for body, type_ in odd.deal(sent, hand, method, operation.path) if method != "GET" else []:
            sweep.ask(call, method, path, body, type_)
    sweep.check()


@odd.each_hand
def test_every_parameter_of_every_route(
    hand: int, operations: list[odd.Operation], call: Send, sweep: odd.Sweep
) -> None:
    for method, path, _ in _paths():
        bare = path.partition("?")[0]
        operation = next(one for one in operations if one.matches(method, bare))
        for name in operation.queries:
            for query in odd.queries(name, odd.deal(odd.TEXTS, hand, method, operation.path, name)):
                sweep.ask(call, method, f"{bare}?{query}")
        for name in operation.headers:
            for text in odd.deal(odd.HEADERS, hand, method, operation.path, name):
                sweep.ask(call, method, path, b"", "application/json", {name: text})
    sweep.check()


@odd.each_hand
def test_every_parameter_of_every_page(hand: int, get_urls: list[str], browser: Client, sweep: odd.Sweep) -> None:
    seen = 0
    for url in get_urls:
        bare = url.partition("?")[0]
        with odd.names_read() as names:
            browser.get(url)
        seen += len(names)
        for name in sorted(names):
            for query in odd.queries(name, odd.deal(odd.DEEP_TEXTS, hand, resolve(bare).view_name, name)):
                sweep.ask(browser.generic, "GET", f"{bare}?{query}")
    assert seen > 15
    sweep.check()


def test_filters_of_the_back_office(browser: Client, sweep: odd.Sweep) -> None:
    """A filter is named after a column; a page reads it without naming it."""
    for model, column in {"access/user": "username", "jobs/job": "slug", "runs/run": "status"}.items():
        for lookup in (column, f"{column}__exact", f"{column}__in", "q", "o", "nowhere"):
            for query in odd.queries(lookup, odd.DEEP_TEXTS):
                sweep.ask(browser.generic, "GET", f"/admin/{model}/?{query}")
    sweep.check()


def test_every_part_of_every_address(
    get_urls: list[str], forms: dict[str, odd.Form], browser: Client, call: Send, sweep: odd.Sweep
) -> None:
    sent = [(call, method, "/api/v1", path.partition("?")[0]) for method, path, _ in _paths()]
    sent += [(browser.generic, "GET", "", url.partition("?")[0]) for url in get_urls]
    sent += [(browser.generic, "POST", "", form.action) for form in forms.values()]
    for send, method, before, path in sent:
        for url in odd.odd_paths(before + path):
            sweep.ask(send, method, url.removeprefix(before))
    sweep.check()


@odd.each_hand
@pytest.mark.parametrize(("method", "url"), [("GET", "/jobs/"), ("GET", "/api/v1/jobs"), ("POST", "/sign-in/")])
def test_every_header_and_cookie(
    hand: int, method: str, url: str, people: dict[str, User], rows: Address, sweep: odd.Sweep
) -> None:
    client = odd.PlainClient(enforce_csrf_checks=True)
    client.force_login(people["viewer"])
    session = client.cookies["sessionid"].value

    def send(name: str, text: str) -> HttpResponse:
        headers: dict[str, Any] = {"HTTP_COOKIE": f"sessionid={session}", name: text}
        return client.generic(method, url, b"a=b", **headers)

    for name in odd.HEADER_NAMES:
        for text in odd.deal(odd.HEADERS, hand, method, url, name):
            sweep.ask(send, name, text)
    for name in ("sessionid", "csrftoken", "messages", ""):
        for text in odd.deal([*odd.HEADERS, "a" * 32, "a" * 64], hand, method, url, name):
            sweep.ask(send, "HTTP_COOKIE", f"sessionid={session}; {name}={text}")
    sweep.check()


@odd.each_hand
def test_every_write_over_odd_rows(
    hand: int,
    run: Run,
    forms: dict[str, odd.Form],
    post: Send,
    call: Send,
    operations: list[odd.Operation],
    sweep: odd.Sweep,
) -> None:
    """Rows that older versions, other programs and damage may have stored."""
    sent: list[tuple[str, Callable[..., HttpResponse], tuple[Any, ...]]]
    sent = [(view, post, (form, {})) for view, form in forms.items()]
    for method, path, body in _paths():
        if method != "GET":
            operation = next(one for one in operations if one.matches(method, path.partition("?")[0]))
            sent.append((f"{method} {operation.path}", call, (method, path, odd.body(body, {}))))
    for group in GROUPS:
        point, before = transaction.savepoint(), len(sweep.broken)
        for store in group.values():
            store(run)
        for name, send, arguments in sent:
            if group in odd.deal(GROUPS, hand, name):
                sweep.ask(send, *arguments)
        transaction.savepoint_rollback(point)
        sweep.broken[before:] = [f"{', '.join(group)}: {one}" for one in sweep.broken[before:]]
    sweep.check()


def test_draining_a_host_in_a_refused_state_says_why(
    rows: Address, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page is older than another administrator's change; or the host was deleted since the page was loaded."""
    url = rows("hosts:drain", "host")
    assert browser.post(url, {"draining": "on", "version": "1"}).status_code == 302
    late = browser.post(url, {"draining": "off", "version": "1"})
    assert late.status_code == 409
    assert "admin saved version 2" in late.content.decode()
    assert Host.objects.get(name="east").draining

    def delete_first(model: Any, pk: int) -> Host:
        row = Host.objects.get(pk=pk)
        Host.objects.all().delete()
        return row

    monkeypatch.setattr("cronium_admin.workers.hosts.views.get_object_or_404", delete_first)
    gone = browser.post(url, {"draining": "on", "version": "2"})
    assert gone.status_code == 404
    assert "There is no host" in gone.content.decode()
