"""Forms that arrive without a session or can't be read, and addresses of forms that are opened as pages."""

from urllib.parse import quote

import pytest
from django.test import Client

from cronium_admin.accounts.models import User

pytestmark = pytest.mark.django_db
HOST = "http://testserver"


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        (f"{HOST}/runs/?status=failed", "/runs/?status=failed"),
        (f"{HOST}/jobs/report/", "/jobs/report/"),
        ("", "/run-acts/?x=1"),
        ("http://evil.example/runs/", "/run-acts/?x=1"),
        (f"{HOST}//evil.example/", "//evil.example/"),  # the sign-in page leads to no other host
        ("no address", "/run-acts/?x=1"),
    ],
)
def test_a_form_without_a_session_leads_back_to_its_page(people: dict[str, User], referer: str, back: str) -> None:
    client = Client()
    answer = client.post("/run-acts/?x=1", {"act": "cancel"}, headers={"Referer": referer} if referer else {})
    assert (answer.status_code, answer["Location"]) == (302, f"/sign-in/?next={quote(back)}&refused=form")
    assert "You were signed out, so nothing was changed." in client.get(answer["Location"]).content.decode()
    people["viewer"].set_password("a long secret")
    people["viewer"].save()
    signed_in = client.post(answer["Location"], {"username": "viewer", "password": "a long secret", "next": back})
    assert signed_in["Location"] == ("/" if back.startswith("//") else back)


def test_a_page_without_a_session_is_opened_after_the_sign_in() -> None:
    answer = Client().get("/runs/", headers={"Referer": f"{HOST}/jobs/"})
    assert answer["Location"] == "/sign-in/?next=/runs/"
    assert "signed out" not in Client().get(answer["Location"]).content.decode()


@pytest.mark.parametrize("path", ["/run-acts/", "/job-acts/", "/sign-out/", "/jobs/report/delete/"])
def test_the_address_of_a_form_explains_itself(people: dict[str, User], path: str) -> None:
    client = Client()
    client.force_login(people["admin"])
    answer = client.get(path)
    assert answer.status_code == 405
    assert answer["Allow"].startswith("POST")
    assert "This address has no page" in answer.content.decode()
    assert client.get(path, headers={"HX-Request": "true"}).content == b""


def test_a_form_that_can_not_be_read_says_so(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["editor"])
    answer = client.post("/jobs/new/", {f"field{number}": "1" for number in range(1001)})
    assert answer.status_code == 400
    assert "This request can't be read" in answer.content.decode()
