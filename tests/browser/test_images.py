"""The tabs Images and Registries, with a real registry: add, check, mend, pull, delete. No page shows a secret."""

import re
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.engine.registry import Registry, start_registry
from tests.engine.server import Server

SECRET = "correct-horse-battery"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with start_registry({"ci-cronium": SECRET}) as registry:
        registry.put_image("acme/tools", "9")
        yield registry


@pytest.fixture
def registries_removed(server: Server) -> Iterator[None]:
    yield
    for row in server.call("GET", "/registries")["items"]:
        if row["address"] != "docker.io":
            server.client.delete(f"/registries/{row['id']}")


def add(page: Page, registry: Registry, secret: str) -> None:
    page.goto("/images/registries/")
    page.get_by_role("link", name="Add registry").click()
    page.get_by_label("Address").fill(f"{registry.host}/acme")
    page.get_by_label("With a user and a secret").check()
    page.get_by_label("User", exact=True).fill("ci-cronium")
    page.get_by_label("Secret", exact=True).fill(secret)
    page.get_by_label("Image to check with").fill(f"{registry.host}/acme/tools:9")
    page.get_by_role("button", name="Add registry").click()


def find_row(page: Page, registry: Registry) -> Page:
    return page.get_by_role("row").filter(has_text=registry.host)  # type: ignore[return-value]


@pytest.mark.usefixtures("registries_removed")
def test_a_registry_is_added_checked_and_mended(visit: Callable[..., Visitor], registry: Registry) -> None:
    page = visit().page
    add(page, registry, "the wrong one")
    row = find_row(page, registry)
    expect(row).to_contain_text("Checking …")
    expect(row).to_contain_text("Failed")  # without a reload
    expect(row.locator(".why")).to_contain_text(re.compile("refused|credentials|401", re.IGNORECASE))
    expect(page.locator("#check-effects")).to_contain_text("can't be pulled")
    expect(page.locator("#check-poll")).not_to_have_attribute("hx-get", re.compile("."))
    row.get_by_role("link", name=f"Edit {registry.host}").click()
    page.get_by_label("Secret", exact=True).fill(SECRET)
    page.get_by_role("button", name="Save").click()
    expect(row.locator(".s-succeeded")).to_be_visible()
    expect(row).to_contain_text("on local")
    expect(page.locator("#check-effects")).to_be_empty()
    assert SECRET not in page.content()
    row.get_by_role("button", name="Check").click()
    expect(row.locator(".s-succeeded")).to_be_visible()


@pytest.mark.usefixtures("registries_removed")
def test_a_wrong_field_says_so_and_keeps_what_was_typed(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().allow("status of 422").page
    page.goto("/images/registries/new/")
    expect(page.get_by_label("User", exact=True)).to_be_hidden()
    page.get_by_label("With a user and a secret").check()
    page.get_by_label("Address").fill("https://ghcr.io/acme")
    page.get_by_label("User", exact=True).fill("bot")
    page.get_by_label("Secret", exact=True).fill(SECRET)
    page.get_by_text("Certificates and plain HTTP").click()
    expect(page.get_by_text("Everybody on the way")).to_be_hidden()
    page.get_by_label("Send credentials over plain HTTP").check()
    expect(page.get_by_text("Everybody on the way")).to_be_visible()
    page.get_by_role("button", name="Add registry").click()
    expect(page.locator("#address-error")).to_contain_text("without https://")
    page.get_by_role("link", name=re.compile("^Address: ")).click()
    expect(page.get_by_label("Address")).to_be_focused()
    expect(page.get_by_label("Address")).to_have_value("https://ghcr.io/acme")
    expect(page.get_by_label("User", exact=True)).to_have_value("bot")
    expect(page.get_by_label("Send credentials over plain HTTP")).to_be_checked()
    expect(page.get_by_label("Secret", exact=True)).to_have_value("")
    assert SECRET not in page.content()
    assert [row["address"] for row in server.call("GET", "/registries")["items"]] == ["docker.io"]


@pytest.mark.usefixtures("registries_removed")
def test_deleting_asks_and_names_the_jobs(visit: Callable[..., Visitor], server: Server) -> None:
    added = server.call("POST", "/registries", {"address": "registry.invalid:5000/team"})
    slug = server.job("true", name="Names its image", image="registry.invalid:5000/team/x:1", enabled=False)
    page = visit().page
    page.goto(f"/images/registries/{added['id']}/")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("These jobs name its images: Names its image")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Delete…").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator("main")).to_contain_text("The registry registry.invalid:5000/team is deleted.")
    expect(page.get_by_role("row").filter(has_text="registry.invalid")).to_have_count(0)
    server.client.delete(f"/jobs/{slug}")


@pytest.mark.usefixtures("registries_removed")
def test_a_missing_image_says_why_and_is_pulled(
    visit: Callable[..., Visitor], server: Server, registry: Registry
) -> None:
    tag = uuid.uuid4().hex[:8]
    reference = f"{registry.host}/acme/tools:{tag}"
    registry.put_image("acme/tools", tag)
    slug = server.job("true", name="Uses tools", image=reference, enabled=False)  # not pulled ahead
    page = visit().page
    try:
        page.goto("/images/")
        row = page.get_by_role("row").filter(has_text=reference)
        expect(row).to_contain_text(f"runs with it fail, because {registry.host} is not among the registries.")
        row.get_by_role("link", name=f"Add the registry {registry.host}").click()
        expect(page.get_by_label("Address")).to_have_value(registry.host)
        page.get_by_label("With a user and a secret").check()
        page.get_by_label("User", exact=True).fill("ci-cronium")
        page.get_by_label("Secret", exact=True).fill(SECRET)
        page.get_by_role("button", name="Add registry").click()
        page.get_by_role("link", name="Images", exact=True).last.click()
        row.get_by_role("button", name=f"Pull {reference}").click()
        expect(page.locator("main")).to_contain_text(f"local pulls {reference}.")
        expect(row.locator(".s-succeeded")).to_have_text("on this host")  # without a reload
        row.get_by_role("button", name="Pull policy").click()
        page.get_by_role("dialog").get_by_label("Never").check()
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(row).to_contain_text("never pulled")
        row.get_by_role("link", name="1 job").click()
        expect(page.get_by_role("link", name="Uses tools", exact=True)).to_be_visible()
    finally:
        server.client.delete(f"/jobs/{slug}")
        client = docker.from_env()
        for image in client.images.list(reference):
            for name in image.tags:
                client.images.remove(name)
        client.close()


def test_the_tabs_work_without_script(visit: Callable[..., Visitor]) -> None:
    page = visit(java_script_enabled=False).page
    page.goto("/images/")
    page.get_by_role("navigation", name="Images").get_by_role("link", name="Registries").click()
    expect(page).to_have_url(re.compile("/images/registries/$"))
    expect(page.get_by_role("link", name="docker.io", exact=True)).to_be_visible()
