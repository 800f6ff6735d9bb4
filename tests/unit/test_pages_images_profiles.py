"""The Images and the Profiles page."""

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from cronium_admin.access.models import User
from cronium_admin.images import presence
from cronium_admin.images.models import ImageOverride
from cronium_admin.images.resolve import resolve
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile


@pytest.fixture
def client(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(presence, "presence", dict.fromkeys)
    client = Client()
    client.force_login(people["admin"])
    return client


def test_each_language_says_what_it_gets_and_why(client: Client, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"container_images_node": "corp/node:1"})
    text = client.get("/images/").content.decode()
    for shown in ("cronium/runner:bash-alpine", "corp/node:1", "CRONIUM_CONTAINER_IMAGES_NODE", "can&#x27;t be asked"):
        assert shown in text or shown.replace("&#x27;", "'") in text


def test_an_override_is_set_and_reset(client: Client) -> None:
    text = client.post("/images/bash/override/", {"reference": " corp/bash:2 "}, follow=True).content.decode()
    assert "Bash runs now get corp/bash:2" in text
    assert (resolve("bash").reference, resolve("bash").rule) == ("corp/bash:2", "override")
    text = client.post("/images/bash/reset/", follow=True).content.decode()
    assert "is back to cronium/runner:bash-alpine" in text
    assert not ImageOverride.objects.exists()


def test_a_wrong_override_keeps_what_was_typed(client: Client) -> None:
    for typed in ("two words", "", "corp/UPPER", "a" * 300, "<b>x</b>"):
        answer = client.post("/images/bash/override/", {"reference": typed})
        text = answer.content.decode()
        assert answer.status_code == 422
        assert "Not an image name" in text
        assert "<b>x</b>" not in text
    assert 'value="corp/UPPER"' in client.post("/images/bash/override/", {"reference": "corp/UPPER"}).content.decode()
    assert client.post("/images/perl/override/", {"reference": "a:b"}).status_code == 404


def test_present_absent_and_unknown_are_words(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"cronium/runner:bash-alpine": True, "cronium/runner:python-alpine": False}
    monkeypatch.setattr(presence, "presence", lambda names: {name: known.get(name) for name in names})
    text = client.get("/images/").content.decode()
    assert text.count(">on the engine<") == 1
    assert text.count(">not on the engine<") == 1
    assert text.count("be asked right now") == 1


def test_an_engine_that_is_away_is_unknown_not_an_error(settings: Any, tmp_path: Any) -> None:
    cache.clear()
    address = f"unix://{tmp_path}/nobody.sock"
    settings.CONFIG = settings.CONFIG.model_copy(update={"docker_host": address})
    assert presence.presence(["a:1", "b:1"]) == {"a:1": None, "b:1": None}


def test_profiles_say_who_uses_them(client: Client, job: Job, django_assert_num_queries: Any) -> None:
    text = client.get("/profiles/").content.decode()
    assert '<a href="/jobs/report/">Report</a>' in text
    assert text.count("No job uses it.") >= 2
    assert "w-p25" in text  # half a CPU of two
    with django_assert_num_queries(4):  # user, profiles, their jobs, live runs
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
    assert "CRONIUM_LOG_LIMIT_MB is set: no run's log gets more than 100 MB." in text
    assert text.count('<span class="num">100 MB</span>') == 3
    client.post("/profiles/medium/", {**typed, "log_limit_mb": ""})
    assert Profile.objects.get(name="medium").log_limit_mb is None


def test_a_profiles_runtime_is_set_shown_and_taken_back(client: Client) -> None:
    typed = {"name": "medium", "cpu": "1", "memory_mb": "1024", "pids": "250"}
    assert "Runs under the runtime" not in client.get("/profiles/").content.decode()
    text = client.post("/profiles/medium/", {**typed, "runtime": " runsc "}, follow=True).content.decode()
    assert 'Runs under the runtime <span class="mono">runsc</span>' in text
    assert Profile.objects.get(name="medium").runtime == "runsc"
    client.post("/profiles/medium/", {**typed, "runtime": ""})
    assert Profile.objects.get(name="medium").runtime == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cpu": "4"}, "The ceiling is 2 CPU"),
        ({"memory_mb": "9999"}, "The ceiling is 2048 MB"),
        ({"pids": "5"}, "At least 10 processes"),
        ({"log_limit_mb": "5000"}, "The ceiling is 1000 MB of log"),
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
    assert '<details class="more" open>' in text
    assert f'value="{next(iter(changes.values()))}"' in text
    assert Profile.objects.get(name="medium").memory_mb == 1024


def test_what_is_used_or_the_default_stays(client: Client, job: Job) -> None:
    Job.objects.update(profile=Profile.objects.get(name="large"))
    assert "is used by report" in client.post("/profiles/large/delete/", follow=True).content.decode()
    assert "is the default" in client.post("/profiles/small/delete/", follow=True).content.decode()
    renamed = client.post("/profiles/small/", {"name": "little", "cpu": "1", "memory_mb": "512", "pids": "100"})
    assert "keeps its name" in renamed.content.decode()
    assert Profile.objects.count() == 3
