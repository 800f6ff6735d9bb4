"""Custom images in the browser: create one, watch its build, and read why the next one failed. Two real builds."""

import re
from collections.abc import Callable, Iterator

import docker
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import examine, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

LONG = 240_000  # ms: the engine makes, loads and tests an image


@pytest.fixture
def image_removed(server: Server) -> Iterator[str]:
    """The name of an image, which is deleted at the end with its versions."""
    yield "shell-kit"
    server.client.delete("/custom-images/shell-kit")
    client = docker.from_env()
    for image in client.images.list(filters={"label": f"cronium.origin={server.instance}"}):
        for name in image.tags or [image.id]:
            client.images.remove(name)
    client.close()


def fill_new(page: Page, name: str, step: str) -> None:
    page.goto("/images/builds/")
    page.get_by_role("link", name="New image").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Bash").check(force=True)
    page.get_by_label("Step 1").fill(step)


def test_an_image_is_built_and_a_failed_build_says_why(
    visit: Callable[..., Visitor], server: Server, image_removed: str
) -> None:
    page = visit("edwin").page
    fill_new(page, image_removed, "echo hello from my step\necho made >/opt/made.txt")
    page.get_by_role("button", name="Save and build").click()
    expect(page.locator("main")).to_contain_text("The build of version 1 was started.")
    expect(page.locator(".log-row", has_text="DONE")).to_be_visible(timeout=LONG)  # the log follows its end
    steps = page.get_by_role("list", name="Steps of the build")
    expect(steps).to_contain_text("2 of 5 echo hello from my step")
    expect(steps).to_contain_text("Smoke test", timeout=LONG)
    expect(page.locator("#build-now")).to_contain_text("Ready", timeout=LONG)  # without a reload
    expect(page.locator("#image-versions")).to_contain_text("the newest version")
    details = page.locator("#version-details")
    expect(details).to_contain_text("cronium/custom/shell-kit:1")
    expect(details).to_contain_text("has no setuid files")
    expect(page).to_have_title("Succeeded · shell-kit · Cronium")
    with page.expect_download() as download:
        details.get_by_role("link", name="SBOM").click()
    assert download.value.suggested_filename == "shell-kit-1.cdx.json"

    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Add a step").click()
    page.get_by_label("Step 3").fill("echo this one is broken >&2; exit 7")
    page.get_by_role("button", name="Save", exact=True).click()
    notes = page.locator("#image-notes")
    expect(notes).to_contain_text("The recipe was changed after version 1 was built.")
    page.get_by_role("button", name="Build").click()
    expect(page.locator("#build-now")).to_contain_text("Version 1 stays in use until version 2 is tested.")
    expect(notes).to_contain_text("The build of version 2 failed: a step failed.", timeout=LONG)
    expect(notes).to_contain_text("Step 3 of 6 failed: echo this one is broken")
    expect(notes).to_contain_text("this one is broken\nFAILED STEP 3 of 6")
    expect(notes).to_contain_text("Version 1 stays in use.")
    expect(page.get_by_role("list", name="Steps of the build").locator(".s-failed")).to_have_count(1)
    examine(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    notes.get_by_role("link", name="Open the run of the build").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Image shell-kit version 2")
    expect(page.locator("#run-steps")).to_contain_text("3 of 6")
    page.get_by_role("navigation", name="Path").get_by_role("link", name="shell-kit").click()
    expect(page).to_have_url(re.compile("/images/builds/[0-9]+/$"))


def test_fields_follow_the_base_and_errors_stay_visible(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").allow("status of 422").page
    page.goto("/images/builds/new/?base=python&python=requests%0Apsycopg&name=reports")
    python, node = page.get_by_label("Python packages"), page.get_by_label("npm packages")
    expect(python).to_have_value("requests\npsycopg")
    expect(node).to_be_hidden()
    page.get_by_label("Node.js").check(force=True)
    expect(node).to_be_visible()
    expect(python).to_be_hidden()
    page.get_by_label("Name", exact=True).press("Enter")  # saves, and adds no step
    expect(page.locator("#python-error")).to_contain_text("Only an image with the base python has Python packages")
    expect(python).to_be_visible()
    page.get_by_role("link", name=re.compile("^Python packages: ")).click()
    expect(python).to_be_focused()
    assert "reports" not in [item["name"] for item in server.call("GET", "/custom-images")["items"]]


def test_the_form_works_without_script(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin", java_script_enabled=False).page
    fill_new(page, "plain", "true")
    page.get_by_role("button", name="Add a step").click()
    expect(page.get_by_label("Step 1")).to_have_value("true")
    page.get_by_label("Step 2").fill("false")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("plain")
    assert server.call("GET", "/custom-images/plain")["recipe"]["steps"] == ["true", "false"]
    server.client.delete("/custom-images/plain")
