"""Search and sort order without regard to case, in any script, and the same on every database."""

from collections.abc import Callable
from importlib import import_module
from urllib.parse import quote

import pytest
from django.apps import apps
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.secrets.models import Secret
from cronium_admin.variables import api as runtime_api
from cronium_admin.variables import service
from cronium_admin.variables import views as runtime_views
from cronium_admin.variables.service import VariableRef
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.users import get_admin

IN_ORDER = ["alpha", "Ärger", "Äther", "Berg 10", "berg-2", "Straße", "ZEBRA", "zebra 2", "Ωmega"]


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> list[Job]:
    return [make_job(slug=f"x-{at}", name=name) for at, name in enumerate(reversed(IN_ORDER))]


def _page(people: dict[str, User], query: str) -> list[str]:
    client = Client()
    client.force_login(people["viewer"])
    rows = client.get("/jobs/", {"q": query}).context["rows"]
    return [row["job"].name for row in rows]


def test_lists_ignore_case_and_marks(viewer: Api, people: dict[str, User], jobs: list[Job]) -> None:
    assert [item["name"] for item in viewer.get("/jobs").json()["items"]] == IN_ORDER
    assert _page(people, "") == IN_ORDER


@pytest.mark.parametrize("size", [1, 2, 4])
def test_pages_keep_the_order(viewer: Api, jobs: list[Job], make_job: Callable[..., Job], size: int) -> None:
    make_job(slug="again", name="ALPHA")
    seen, after = [], ""
    while after is not None:
        page = viewer.get(f"/jobs?limit={size}&after={after}").json()
        seen += [item["name"] for item in page["items"]]
        after = page["next"]
    assert seen == ["alpha", "ALPHA", *IN_ORDER[1:]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ÄRGER", ["Ärger"]),
        ("ärg", ["Ärger"]),
        ("a\u0308rg", ["Ärger"]),
        ("strasse", ["Straße"]),
        ("STRASSE", ["Straße"]),
        ("straße", ["Straße"]),
        ("ωMEGA", ["Ωmega"]),
        ("BERG", ["Berg 10", "berg-2"]),
        ("X-0", ["Ωmega"]),
        ("100%", []),
    ],
)
def test_search_ignores_case_in_any_writing(
    viewer: Api, people: dict[str, User], jobs: list[Job], query: str, found: list[str]
) -> None:
    assert [item["name"] for item in viewer.get(f"/jobs?q={quote(query)}").json()["items"]] == found
    assert _page(people, query) == found


def test_a_new_name_is_found_and_put_in_its_place(editor: Api, jobs: list[Job]) -> None:
    assert editor.patch("/jobs/x-0", {"name": "Äa"}).status_code == 200
    assert [item["name"] for item in editor.get("/jobs?limit=2").json()["items"]] == ["Äa", "alpha"]
    assert [item["slug"] for item in editor.get(f"/jobs?q={quote('ÄA')}").json()["items"]] == ["x-0"]
    assert editor.patch("/jobs/x-0", {"slug": "moved"}).status_code == 200
    assert [item["slug"] for item in editor.get("/jobs?q=MOVED").json()["items"]] == ["moved"]


def test_the_migration_fills_what_was_there(jobs: list[Job]) -> None:
    before = list(Job.objects.order_by("pk").values_list("search_text", flat=True))
    Job.objects.update(search_text="", order_key=b"")
    import_module("cronium_admin.jobs.migrations.0011_search_and_order").fill(apps, None)
    import_module("cronium_admin.jobs.migrations.0022_description").fill(apps, None)
    assert list(Job.objects.order_by("pk").values_list("search_text", flat=True)) == before
    assert [job.name for job in Job.objects.all()] == IN_ORDER


def test_people_secrets_and_hosts_are_ordered_so_too(admin: Api) -> None:
    for name in ("Zoe", "ärne", "Bert"):
        User.objects.create(username=name)
        Host.objects.create(name=name.replace("ä", "a"))
    for name in ("b_KEY", "A_KEY", "C_KEY"):
        Secret.objects.create(name=name, encrypted="x")
    people = [item["username"] for item in admin.get("/people").json()["items"]]
    assert [name for name in people if name in ("Zoe", "ärne", "Bert")] == ["ärne", "Bert", "Zoe"]
    assert [item["name"] for item in admin.get("/secrets").json()["items"]] == ["A_KEY", "b_KEY", "C_KEY"]
    assert [item["name"] for item in admin.get("/hosts").json()["items"]] == ["arne", "Bert", "Zoe"]


def test_variables_ignore_case_on_the_page_and_over_cursors(
    viewer: Api, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = ["alpha", "Beta", "beta2", "GAMMA", "zeta"]
    for name in reversed(in_order):
        service.set_variable(VariableRef(None, name), 1, get_admin())
    client = Client()
    client.force_login(people["viewer"])
    for size in (1, 2, 3):
        monkeypatch.setattr(runtime_api, "PAGE_SIZE", size)
        monkeypatch.setattr(runtime_views, "PAGE_SIZE", size)
        seen, after = list[str](), ""
        while after is not None:
            answer = viewer.get(f"/variables?after={after}").json()
            seen, after = seen + [one["name"] for one in answer["items"]], answer["next"]
        assert seen == in_order
        shown, after = list[str](), ""
        while True:
            part = client.get("/variables/", {"after": after}).context["page"]
            shown, after = shown + [row.variable.name for row in part.items], part.next
            if not after:
                break
        assert shown == in_order


def test_a_tag_is_found_in_any_writing(people: dict[str, User], make_job: Callable[..., Job]) -> None:
    make_job(slug="tagged", name="Tagged", tags=["billing"])
    for query in ("BILL", "\uff22\uff49\uff4c\uff4c"):  # the second in letters of full width
        assert _page(people, query) == ["Tagged"], query


def test_the_back_office_finds_people_in_any_writing(people: dict[str, User]) -> None:
    User.objects.create(username="Ärger")
    client = Client()
    client.force_login(people["admin"])
    for query in ("ärg", "ÄRG", "VIEW"):
        rows = client.get("/admin/access/user/", {"q": query}).context["cl"].result_list
        assert [row.username for row in rows] == [{"VIEW": "viewer"}.get(query, "Ärger")]
