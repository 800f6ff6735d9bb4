"""The Dockerfile on the pages of custom images: who sees the field, and what a refused form keeps."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cronium_admin.accounts.models import User
from cronium_admin.images.models import CustomImage
from tests.custom_images import make_ready_image

TEXT = "FROM debian:13\nRUN useradd app\n"
RECIPE = {"base": "python", "dockerfile": TEXT}
NEW = "images:image-new"


def sign_in(people: dict[str, User], role: str) -> Client:
    client = Client()
    client.force_login(people[role])
    return client


def send(client: Client, address: str, **values: Any) -> HttpResponse:
    given = {"name": "own", "base": "python", "description": "", "dockerfile": "", "then": "save"}
    return client.post(address, given | values)


def read(answer: HttpResponse) -> str:
    return answer.content.decode()


@pytest.fixture
def stored(db: None) -> CustomImage:
    return make_ready_image("own", (), recipe=RECIPE)


def test_only_administrators_get_the_field(people: dict[str, User]) -> None:
    assert 'name="dockerfile"' in read(sign_in(people, "admin").get(reverse(NEW)))
    assert 'name="dockerfile"' not in read(sign_in(people, "editor").get(reverse(NEW)))


def test_a_saved_dockerfile_comes_back_unchanged(people: dict[str, User]) -> None:
    client = sign_in(people, "admin")
    assert send(client, reverse(NEW), dockerfile=TEXT.replace("\n", "\r\n")).status_code == 302
    image = CustomImage.objects.get()
    assert image.recipe == RECIPE
    assert f"\n{TEXT}</textarea>" in read(client.get(reverse("images:image-edit", args=[image.pk])))
    assert "RUN useradd app" in read(sign_in(people, "viewer").get(reverse("images:image", args=[image.pk])))
    assert "Python + Dockerfile" in read(client.get(reverse("images:builds")))


def test_mistakes_are_at_the_field_and_keep_the_text(people: dict[str, User]) -> None:
    text = "FROM debian:13\nCOPY . /app\n<b>x</b>"
    answer = send(sign_in(people, "admin"), reverse(NEW), dockerfile=text)
    page = read(answer)
    assert answer.status_code == 422
    assert "Line 2: COPY: can&#x27;t be used with a file or URL" in page
    assert "FROM debian:13\nCOPY . /app\n&lt;b&gt;x&lt;/b&gt;</textarea>" in page
    assert "<b>x</b>" not in page


def test_an_editor_keeps_it_and_changes_the_rest(people: dict[str, User], stored: CustomImage) -> None:
    client, address = sign_in(people, "editor"), reverse("images:image-edit", args=[stored.pk])
    assert "Only an administrator may change or build it" in read(client.get(address))
    same = {"dockerfile": TEXT.replace("\n", "\r\n"), "version": stored.version}
    assert send(client, address, description="mine", **same).status_code == 302
    stored.refresh_from_db()
    assert (stored.description, stored.recipe) == ("mine", RECIPE)
    answer = send(client, address, dockerfile=f"{TEXT}RUN more\n", version=stored.version)
    assert answer.status_code == 422
    assert "RUN more" in read(answer)
    assert "A Dockerfile runs commands as root. You need the role Administrator" in read(answer)
    assert send(client, address, python="six", version=stored.version).status_code == 302
    stored.refresh_from_db()
    assert stored.recipe == {"base": "python", "python": ["six"]}


def test_an_editor_does_not_build_it(people: dict[str, User], stored: CustomImage) -> None:
    client = sign_in(people, "editor")
    answer = client.post(reverse("images:image-build", args=[stored.pk]), follow=True)
    assert "Not built: A Dockerfile runs commands as root." in read(answer)
    assert not stored.versions.exists()


def test_a_base_that_is_not_there_is_said(people: dict[str, User], stored: CustomImage) -> None:
    CustomImage.objects.update(recipe={"base": "python", "dockerfile": "FROM cronium/custom/nothing\n"})
    answer = sign_in(people, "admin").post(reverse("images:image-build", args=[stored.pk]), follow=True)
    assert "Not built: Line 1: FROM: This project has no custom image nothing." in read(answer)
