"""The Images and the Profiles page."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.images import inventory
from cronium_admin.images.models import HostImage, HostInventory, ImageOverride
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def test_each_language_says_what_it_gets_and_why(client: Client, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"container_images_node": "corp/node:1"})
    text = client.get("/images/").content.decode()
    for shown in ("cronium/runner:bash-alpine", "corp/node:1", "CRONIUM_CONTAINER_IMAGES_NODE", "not known"):
        assert shown in text or shown.replace("&#x27;", "'") in text


def test_an_override_is_set_and_reset(client: Client) -> None:
    text = client.post("/images/bash/override/", {"reference": " corp/bash:2 "}, follow=True).content.decode()
    assert "Bash runs now get corp/bash:2" in text
    assert (resolve_image("bash").reference, resolve_image("bash").rule) == ("corp/bash:2", "override")
    text = client.post("/images/bash/reset/", follow=True).content.decode()
    assert "is back to cronium/runner:bash-alpine" in text
    assert ImageOverride.objects.get().reference == ""


def test_a_wrong_override_keeps_what_was_typed(client: Client) -> None:
    for typed in ("two words", "", "corp/UPPER", "a" * 300, "<b>x</b>"):
        answer = client.post("/images/bash/override/", {"reference": typed})
        text = answer.content.decode()
        assert answer.status_code == 422
        assert "Not an image name" in text
        assert "<b>x</b>" not in text
    assert 'value="corp/UPPER"' in client.post("/images/bash/override/", {"reference": "corp/UPPER"}).content.decode()
    assert client.post("/images/perl/override/", {"reference": "a:b"}).status_code == 404


def has(host: str, *references: str) -> None:
    inventory.store_report(
        host, [inventory.ReportedImage(f"sha256:{n:064}", (name,), 10**6) for n, name in enumerate(references)]
    )


def test_the_page_says_where_an_image_is_and_what_to_do(client: Client, settings: Any) -> None:
    has("local", "cronium/runner:bash-alpine")
    text = client.get("/images/").content.decode()
    assert text.count("<span>on this host</span>") == 1
    assert text.count("On no host: runs with it fail until it is built there.</span>") == 2
    assert "python manage.py images build" in text
    settings.CONFIG = settings.CONFIG.model_copy(update={"container_images_node": "ghcr.io/corp/node:1"})
    text = client.get("/images/").content.decode()
    assert "because ghcr.io is not among the registries." in text
    assert 'href="/images/registries/new/?address=ghcr.io"' in text
    has("edge", "cronium/runner:bash-alpine", "ghcr.io/corp/node:1")
    text = client.get("/images/").content.decode()
    assert text.count("<span>all 2 hosts</span>") == 1
    assert "<span>1 of 2, not on local</span>" in text
    assert "Runs that start on local fail, because ghcr.io" in text


def test_what_a_host_said_long_ago_counts_no_more(client: Client) -> None:
    has("local", "cronium/runner:bash-alpine")
    HostInventory.objects.update(reported_at=timezone.now() - timedelta(minutes=5))
    assert client.get("/images/").content.decode().count("No host has reported") == 3
    has("local", "cronium/runner:bash-alpine")  # the same again
    assert client.get("/images/").content.decode().count("<span>on this host</span>") == 1


def test_a_hosts_report_is_bounded_and_replaced(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_NAMES", 3)
    has("local", *(f"a/{n}" for n in range(9)), "b" * 500)
    assert HostImage.objects.count() == 3
    assert inventory.find_presence(["z/z"])["z/z"].hosts[0].is_present is None
    assert inventory.find_presence(["z/z"])["z/z"].missing == []
    has("local", "a/1")
    assert list(HostImage.objects.values_list("reference", flat=True)) == ["docker.io/a/1:latest"]
    inventory.delete_inventory("local")
    assert not HostImage.objects.exists()


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("ubuntu", "ubuntu:latest"),
        ("docker.io/library/ubuntu:24.04", "ubuntu:24.04"),
        ("index.docker.io/corp/x", "corp/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1"),
        ("corp/x:2@sha256:" + "a" * 64, "corp/x@sha256:" + "a" * 64),
        ("sha256:" + "0" * 64, "whatever:1"),
    ],
)
def test_one_image_has_many_names(db: None, asked: str, there: str) -> None:
    has("local", there)
    assert inventory.find_presence([asked])[asked].is_everywhere
    assert not inventory.find_presence(["other:1"])["other:1"].is_everywhere


def test_an_image_that_is_nowhere_counts_after_a_second_word(client: Client, make_job: Any) -> None:
    make_job(), make_job(), make_job(image="own/image:1")
    has("local", "cronium/runner:bash-alpine")
    asked = client.post("/images/bash/override/", {"reference": "ghcr.io/acme/tools:9", "confirmed": "test"})
    text = asked.content.decode()
    assert "<strong>2 Bash jobs</strong> use it from their next run on" in text
    assert "Not on this host" in text
    assert "Runs that start there fail: ghcr.io is not among the registries." in text
    assert not ImageOverride.objects.exists()
    saved = client.post(
        "/images/bash/override/", {"reference": "ghcr.io/acme/tools:9", "confirmed": "all"}, follow=True
    )
    assert resolve_image("bash").rule == "override"
    assert 'class="note warning"' in saved.content.decode()
    assert 'class="note success"' not in saved.content.decode()


def test_the_number_of_jobs_is_said_before_an_override_counts(client: Client, make_job: Any) -> None:
    make_job()
    has("local", "corp/shell:1")
    assert (
        "<strong>1 Bash job</strong> uses it"
        in client.post("/images/bash/override/", {"reference": "corp/shell:1"}).content.decode()
    )
    assert not ImageOverride.objects.exists()
    assert "1 job uses it from its next run on" in client.get("/images/").content.decode()
    client.post("/images/bash/override/", {"reference": "corp/shell:1", "confirmed": "all"})
    assert resolve_image("bash").reference == "corp/shell:1"
    assert "1 job uses the default image" in client.get("/images/").content.decode()


@pytest.mark.parametrize(
    ("language", "reference", "family"),
    [
        ("bash", "cronium/runner:python-debian", "Python"),
        ("bash", "python:3.12-slim", "Python"),
        ("python", "registry.corp/node20:1", "Node"),
        ("node", "cronium/runner:bash-alpine", "Bash"),
        ("python", "ruby:3", "Ruby"),
        ("bash", "corp/tools:9", ""),
        ("python", "corp/node-and-python:1", ""),
        ("bash", "monopython-like/abc:1", ""),
    ],
)
def test_an_image_of_another_language_is_noticed(client: Client, language: str, reference: str, family: str) -> None:
    has("local", reference)
    typed = {"reference": reference, "confirmed": "number"}
    answer = client.post(f"/images/{language}/override/", typed)
    assert ("looks like an image for" in answer.content.decode()) == bool(family)
    assert (f"an image for {family};" in answer.content.decode()) == bool(family)
    assert answer.status_code == (200 if family else 302)


def test_profiles_say_who_uses_them(client: Client, job: Job, django_assert_num_queries: Any) -> None:
    text = client.get("/profiles/").content.decode()
    assert '<a href="/jobs/report/">Report</a>' in text
    assert text.count("No job uses it.") >= 2
    assert "w-p25" in text  # half a CPU of two
    with django_assert_num_queries(5):  # session, user, profiles, their jobs, live runs
        client.get("/profiles/")


def test_a_profile_is_edited_created_and_deleted(client: Client) -> None:
    numbers = {"cpu": "1.5", "memory_mb": "700", "pids": "300"}
    client.post("/profiles/medium/", {"name": "middle", **numbers})
    middle = Profile.objects.get(name="middle")
    assert (str(middle.cpu), middle.memory_mb, middle.pids) == ("1.50", 700, 300)
    client.post("/profiles/new/", {"name": "tiny", "cpu": "0.1", "memory_mb": "64", "pids": "20"})
    assert Profile.objects.filter(name="tiny").exists()
    assert "is deleted" in client.post("/profiles/tiny/delete/", follow=True).content.decode()


def test_a_profiles_log_limit_is_set_shown_and_taken_back(client: Client, settings: Any) -> None:
    typed = {"name": "medium", "cpu": "1", "memory_mb": "1024", "pids": "250"}
    text = client.get("/profiles/").content.decode()
    assert text.count('<span class="num">50 MB</span>') == 3
    assert 'placeholder="50"' in text
    text = client.post("/profiles/medium/", {**typed, "log_limit_mb": "200"}, follow=True).content.decode()
    assert '<i class="w-p20"></i></span><span class="num">200 MB</span>' in text
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_limit_mb": 100})
    text = client.get("/profiles/").content.decode()
    assert "CRONIUM_LOG_LIMIT_MB limits the log of every run to 100 MB." in text
    assert text.count('<span class="num">100 MB</span>') == 3
    client.post("/profiles/medium/", {**typed, "log_limit_mb": ""})
    assert Profile.objects.get(name="medium").log_limit_mb is None


def test_a_profiles_runtime_is_set_shown_and_taken_back(client: Client) -> None:
    typed = {"name": "medium", "cpu": "1", "memory_mb": "1024", "pids": "250"}
    assert "Uses the runtime" not in client.get("/profiles/").content.decode()
    text = client.post("/profiles/medium/", {**typed, "runtime": " runsc "}, follow=True).content.decode()
    assert 'Uses the runtime <span class="mono">runsc</span>' in text
    assert Profile.objects.get(name="medium").runtime == "runsc"
    client.post("/profiles/medium/", {**typed, "runtime": ""})
    assert Profile.objects.get(name="medium").runtime == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cpu": "4"}, "2 CPU at most"),
        ({"memory_mb": "9999"}, "2,048 MB at most"),
        ({"pids": "5"}, "10 processes or more"),
        ({"log_limit_mb": "5000"}, "1,000 MB of log at most"),
        ({"pids": "many"}, "Enter a whole number."),
        ({"name": "Not A Name"}, "Lower-case letters"),
        ({"name": "large"}, "already"),
        ({"runtime": "--privileged"}, "as the engine names it"),
    ],
)
def test_a_wrong_profile_names_field_and_ceiling(client: Client, changes: dict[str, str], says: str) -> None:
    typed = {"name": "medium", "cpu": "1", "memory_mb": "1024", "pids": "250", **changes}
    answer = client.post("/profiles/medium/", typed)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert says in text
    assert text.count("data-reopen") == 1
    assert f'value="{next(iter(changes.values()))}"' in text
    assert Profile.objects.get(name="medium").memory_mb == 1024


def test_what_is_used_or_the_default_stays(client: Client, job: Job) -> None:
    Job.objects.update(profile=Profile.objects.get(name="large"))
    assert "is used by report" in client.post("/profiles/large/delete/", follow=True).content.decode()
    assert "is the default" in client.post("/profiles/small/delete/", follow=True).content.decode()
    renamed = client.post("/profiles/small/", {"name": "little", "cpu": "1", "memory_mb": "512", "pids": "100"})
    assert "be renamed" in renamed.content.decode()
    assert Profile.objects.count() == 3
