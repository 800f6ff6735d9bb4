"""Names and descriptions: an invisible character is refused on save, and shown as its code point if stored."""

from collections.abc import Callable

import pytest
from django.test import Client

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.tokens import make_token
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import escape_line, find_line_problem
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from tests.conftest import Api
from tests.unit.test_api_jobs import GOOD
from tests.users import get_admin

# Overrides, isolates and marks of direction, no width, blank letters, tags, private use, separators, other blanks.
UNSEEN = (
    "\u202e\u202d\u202a\u202b\u202c\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f"
    "\u115f\u1160\u3164\uffa0\u180e\u2800\ufe0f\U000e0041\ue000\u2028\u2029\u0085\u00a0\u3000\x1b\x7f\x00\ufff9\ufdd0"
)
SEEN = [
    "Nachtlauf Übersicht",
    "日報の集計",
    "تقرير يومي",
    "דו״ח",
    "Café",
    "a — b · c",
    "❤\ufe0f on",
    "1\ufe0f\u20e3 first",
    "🚀",
]


@pytest.mark.parametrize("character", UNSEEN, ids=lambda one: f"U+{ord(one):04X}")
def test_what_cannot_be_seen_is_a_problem_and_shown_as_its_number(character: str) -> None:
    problem = find_line_problem(f"report{character}gpj")
    assert problem is not None
    assert f"U+{ord(character):04X}" in problem
    assert "character 7" in problem
    assert character not in problem
    assert escape_line(f"report{character}gpj") == f"report[U+{ord(character):04X}]gpj"


@pytest.mark.parametrize("text", SEEN)
def test_text_of_any_writing_is_a_name(text: str) -> None:
    assert find_line_problem(text) is None
    assert escape_line(text) == text


@pytest.mark.parametrize("character", UNSEEN.replace("\x00", ""), ids=lambda one: f"U+{ord(one):04X}")
def test_no_name_holds_it(admin: Api, character: str) -> None:
    word = f"a{character}b"
    answers = {
        "name": admin.post("/jobs", {**GOOD, "name": word}),
        "tags": admin.post("/jobs", {**GOOD, "tags": [word]}),
        "queue": admin.post("/jobs", {**GOOD, "queue": word}),
        "slug": admin.post("/jobs", {**GOOD, "slug": word}),
        "username": admin.post("/people", {"username": word}),
        "description": admin.put("/secrets/API_KEY", {"value": "long enough", "description": word}),
    }
    for field, answer in answers.items():
        assert answer.status_code == 422, field
        assert field in answer.json()["fields"]
    profile = admin.post("/profiles", {"name": word, "cpu": 1, "memory_mb": 64, "pids": 10})
    assert (profile.status_code, list(profile.json()["fields"])) == (422, ["name"])
    with pytest.raises(ApiError):
        make_token(User.objects.get(username="admin"), word)
    assert not Job.objects.exists()
    assert not Secret.objects.exists()


def test_a_stored_name_stays_and_can_be_edited(
    admin: Api, people: dict[str, User], make_job: Callable[..., Job]
) -> None:
    old = "invoice\u202efdp.exe"
    job = make_job(slug="old", name=old)
    assert admin.patch("/jobs/old", {"name": old, "timeout_seconds": 7}).status_code == 200
    assert admin.patch("/jobs/old", {"name": f"{old}!"}).status_code == 422
    Secret.objects.create(name="OLD", encrypted=encrypt("OLD", "a value"), description=old)
    assert admin.put("/secrets/OLD", {"value": "a new value", "description": old}).status_code == 200
    token, _ = ApiToken.mint(User.objects.get(username="admin"), old)
    run = launch(job, get_admin())
    client = Client()
    client.force_login(people["admin"])
    for url in ("/jobs/", "/jobs/old/", "/runs/", f"/runs/{run.pk}/", "/secrets/", "/access/", "/profiles/"):
        page = client.get(url).content.decode().replace(f'value="{old}"', "")  # a field has the stored value
        assert "\u202e" not in page, url
        assert "invoice[U+202E]fdp.exe" in page or url == "/profiles/", url
    assert client.post(f"/access/{token.pk}/revoke/", follow=True).content.decode().count("\u202e") == 0
    assert client.get("/jobs/old/edit/").content.decode().count("\u202e") == 1
    assert admin.patch("/jobs/old", {"name": "invoice"}).status_code == 200
