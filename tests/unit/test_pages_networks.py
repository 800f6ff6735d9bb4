"""A network on the pages: the choices of each role in the editor, and icon and word wherever a job or run is shown."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.templatetags.networks import NETWORKS
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.unit.test_pages_editor import GOOD
from tests.users import get_admin

ROOT = Path(__file__).resolve().parents[2]
# The unchanged form of `open_job`.
UNTOUCHED: dict[str, Any] = {
    **{"name": "Open", "language": "bash", "script": "echo hello", "profile": "small", "timeout_seconds": "3600"},
    **{"read_only_root": "on", "enabled": "on", "network": "open", "egress_text": "", "then": "save"},
}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


@pytest.fixture
def admin_client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


@pytest.fixture
def open_job(make_job: Callable[..., Job]) -> Job:
    return make_job(name="Open", slug="open", network="open")


def _radio(text: str, network: str) -> str:
    found = re.search(rf'<input type="radio" name="network" value="{network}"[^>]*>', text)
    assert found
    return found[0]


class TestChoosing:
    def test_a_new_job_begins_isolated_and_says_what_each_network_is(self, client: Client) -> None:
        text = client.get("/jobs/new/").content.decode()
        assert " checked" in _radio(text, "isolated")
        for says in ("Default: no internet", "No network at all", "through a proxy", "every address that the host"):
            assert says in text

    def test_hosts_are_typed_a_line_each(self, client: Client) -> None:
        typed = {"network": "egress", "egress_text": "API.example.com:443\r\n\r\n  *.example.org:* \r\n"}
        assert client.post("/jobs/new/", {**GOOD, **typed}).status_code == 302
        job = Job.objects.get()
        assert (job.network, job.egress) == ("egress", ["api.example.com:443", "*.example.org:*"])
        text = client.get("/jobs/nightly-report/edit/").content.decode()
        assert ">\napi.example.com:443\n*.example.org:*</textarea>" in text
        client.post("/jobs/nightly-report/edit/", {**GOOD, **typed, "network": "none"})
        job.refresh_from_db()
        assert (job.network, job.egress) == ("none", ["api.example.com:443", "*.example.org:*"])

    @pytest.mark.parametrize(
        ("hosts", "says"),
        [
            ("", "List at least one host:port"),
            (" \r\n ", "List at least one host:port"),
            ("example.com", "The port is missing"),
            ("good.example:443\r\n192.168.0.1:80", "a private or reserved address"),
            ("<b>x</b>", "without scheme and path"),
        ],
    )
    @pytest.mark.parametrize("name", ["Whole", ""])
    def test_a_mistake_stands_by_the_list(self, client: Client, hosts: str, says: str, name: str) -> None:
        answer = client.post("/jobs/new/", {**GOOD, "name": name, "network": "egress", "egress_text": hosts})
        text = answer.content.decode()
        assert answer.status_code == 422
        assert text.count(says) == 2, "in the summary and beside the field"
        assert 'href="#id_egress_text"' in text
        assert 'id="egress_text-error"' in text
        assert "<b>x</b>" not in text
        assert " checked" in _radio(text, "egress")
        assert not Job.objects.exists()

    def test_an_unknown_network_is_refused_by_its_field(self, client: Client) -> None:
        answer = client.post("/jobs/new/", {**GOOD, "network": "host"})
        assert answer.status_code == 422
        assert 'href="#networks"' in answer.content.decode()
        assert not Job.objects.exists()

    def test_what_is_not_sent_stays(self, client: Client, make_job: Callable[..., Job]) -> None:
        job = make_job(slug="mine", network="egress", egress=["example.com:443"])
        assert client.post("/jobs/mine/edit/", GOOD).status_code == 302
        job.refresh_from_db()
        assert (job.network, job.egress) == ("egress", ["example.com:443"])


class TestTheOpenNetwork:
    def test_is_not_offered_to_an_editor_who_is_told_why(self, client: Client, admin_client: Client) -> None:
        text = client.get("/jobs/new/").content.decode()
        assert " disabled" in _radio(text, "open")
        assert "Only an administrator may choose it." in text
        text = admin_client.get("/jobs/new/").content.decode()
        assert " disabled" not in _radio(text, "open")
        assert "Only an administrator may choose it." not in text

    def test_forced_by_an_editor_is_a_403_beside_the_choice(self, client: Client, admin_client: Client) -> None:
        answer = client.post("/jobs/new/", {**GOOD, "network": "open"})
        text = answer.content.decode()
        assert answer.status_code == 403
        assert text.count("needs the role Administrator") == 2
        assert 'id="network-error"' in text
        assert "print(&#x27;one&#x27;)" in text, "what was typed is kept"
        assert not Job.objects.exists()
        assert admin_client.post("/jobs/new/", {**GOOD, "network": "open"}).status_code == 302

    def test_an_editor_renames_disables_or_closes_an_open_job(self, client: Client, open_job: Job) -> None:
        text = client.get("/jobs/open/edit/").content.decode()
        assert "only an administrator can change the code that it runs" in text
        assert " checked" in _radio(text, "open")
        assert " disabled" not in _radio(text, "open")
        shut = {name: value for name, value in UNTOUCHED.items() if name != "enabled"}
        assert client.post("/jobs/open/edit/", {**shut, "name": "Shut"}).status_code == 302
        open_job.refresh_from_db()
        assert (open_job.name, open_job.enabled, open_job.network) == ("Shut", False, "open")
        closing = {**UNTOUCHED, "network": "isolated", "script": "echo mine"}
        assert client.post("/jobs/open/edit/", closing).status_code == 302
        open_job.refresh_from_db()
        assert (open_job.network, open_job.script) == ("isolated", "echo mine")

    def test_an_editor_lends_it_to_no_other_script(self, client: Client, admin_client: Client, open_job: Job) -> None:
        answer = client.post("/jobs/open/edit/", {**UNTOUCHED, "script": "echo mine", "timeout_seconds": "5"})
        text = answer.content.decode()
        assert answer.status_code == 403
        for target in ("#id_script", "#id_timeout_seconds"):
            assert f'href="{target}"' in text
        open_job.refresh_from_db()
        assert (open_job.script, open_job.timeout_seconds) == ("echo hello", 3600)
        assert admin_client.post("/jobs/open/edit/", {**UNTOUCHED, "script": "echo mine"}).status_code == 302

    def test_is_run_as_it_is_by_an_operator(self, people: dict[str, User], open_job: Job) -> None:
        client = Client()
        client.force_login(people["operator"])
        client.post("/runs/launch/open/")
        client.post("/runs/launch/open/", {"with": "yes", "profile": "large", "input": "1", "timeout_seconds": ""})
        assert list(Run.objects.values_list("network", "profile_name").order_by("number")) == [
            *(("open", "small"), ("open", "large"))
        ]


@pytest.mark.parametrize(
    ("network", "word", "icon"),
    [
        *[
            ("isolated", "isolated", "shield-check"),
            ("none", "no network", "world-off"),
            ("egress", "listed hosts only", "filter"),
        ],
        ("open", "open network", "world"),
    ],
)
def test_every_page_names_the_network_in_icon_and_word(
    client: Client, make_job: Callable[..., Job], network: str, word: str, icon: str
) -> None:
    job = make_job(slug="mine", network=network, egress=["api.example.com:443"])
    run = launch(job, get_admin())
    shown = re.compile(rf'n-{network}"><svg[^>]*><use href="[^"]*#{icon}"/></svg><span>{word}</span>')
    pages = {"/jobs/": int(network == "open"), "/jobs/mine/": 1, "/jobs/mine/settings/": 2, f"/runs/{run.pk}/": 2}
    for url, count in pages.items():
        text = client.get(url).content.decode()
        assert len(shown.findall(text)) == count, url
        listed = "<li>api.example.com:443</li>" in text
        assert listed == (network == "egress" and url not in ("/jobs/", "/jobs/mine/")), url


def test_the_sprite_has_every_networks_icon() -> None:
    sprite = (ROOT / "static/cronium/sprite.svg").read_text()
    for symbol, _ in NETWORKS.values():
        assert f'id="{symbol}"' in sprite
