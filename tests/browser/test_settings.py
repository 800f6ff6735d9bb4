"""Images and profiles: edited in the browser, and their effect on a run."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.visitor import Visitor
from tests.engine.server import Server

MISSING = "cronium.invalid/no/such-image:1"


@pytest.fixture
def overrides_reset(server: Server) -> Iterator[None]:
    yield
    for language in ("bash", "node"):
        server.client.delete(f"/images/{language}")


def _override(page: Page, language: str, reference: str) -> None:
    """Sends the dialog; the test checks the result."""
    page.get_by_role("button", name=re.compile(f"override for {language}")).click()
    page.get_by_role("dialog").get_by_label("Image").fill(reference)
    page.get_by_role("dialog").get_by_role("button", name="Continue").click()


@pytest.mark.usefixtures("overrides_reset")
def test_an_override_is_used_and_reset(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().page
    default = server.call("GET", "/images/node")["reference"]
    other = server.call("GET", "/images/bash")["reference"]
    page.goto("/images/")
    row = page.locator("#image-node")
    expect(row.locator(".now")).to_have_text(default)
    expect(row).to_contain_text("the default")
    page.wait_for_function("() => document.body.textContent.includes('on this host') || location.reload()")

    _override(page, "node", other)
    expect(page.locator("main")).to_contain_text("looks like an image for Bash")
    expect(page.locator("#image-test .s-failed").first).to_contain_text("The test failed on local")
    expect(page.locator("#image-test .why")).to_contain_text("does not start in the image")
    page.get_by_role("button", name="Use it anyway").click()
    expect(row.locator(".now")).to_have_text(other)
    expect(row).to_contain_text("set here by admin")

    # The bash image has no node: the run's message names the image and the missing program.
    page.goto(f"/runs/{server.run('console.log(1)', 'node')}/")
    logview.expect_state(page, "Failed")
    expect(page.locator("#run-details")).to_contain_text(other)
    expect(page.locator("#run-reason")).to_contain_text(f"a command was not found in the image {other}")

    page.goto("/images/")
    row.get_by_role("button", name="Reset").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(row.locator(".now")).to_have_text(default)
    expect(row.get_by_role("button", name="Reset")).to_have_count(0)
    assert server.call("GET", "/images/node")["override"] in ("", None)


@pytest.mark.usefixtures("overrides_reset")
def test_a_missing_image_is_said_before_and_after(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().page
    page.goto("/images/")
    _override(page, "bash", MISSING)
    expect(page.locator("main")).to_contain_text("Not on this host")
    page.get_by_role("button", name="Use it anyway").click()
    row = page.locator("#image-bash")
    expect(row).to_contain_text("On no host: runs with it fail, because cronium.invalid is not among the registries.")
    expect(row.get_by_role("link", name="Add the registry cronium.invalid")).to_be_visible()

    page.goto(f"/runs/{server.run('echo never')}/")
    logview.expect_state(page, "Couldn't start", 60)
    reason = page.locator("#run-reason")
    expect(reason).to_contain_text(MISSING)
    # Reads the document at once: the part with the reason may be replaced at any moment.
    page.wait_for_function(
        """() => {
          const [reason, log] = ["#run-reason", ".log"].map((name) => document.querySelector(name));
          return reason && reason.getBoundingClientRect().bottom <= log.getBoundingClientRect().top;
        }"""
    )
    expect(page.locator("#run-details")).to_contain_text("image missing")
    expect(page.locator('[data-log="empty"]')).to_have_text("This run wrote no output.")


def test_an_image_name_with_blanks_is_refused_beside_its_field(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().allow("status of 422").page
    page.goto("/images/")
    _override(page, "python", "two words")
    expect(page.locator("#override-python-error")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_label("Image")).to_have_value("two words")
    assert server.call("GET", "/images/python")["override"] in ("", None)


def test_a_profile_changes_within_its_ceiling_and_not_beyond(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().allow("status of 422").page
    page.goto("/profiles/")
    card = page.locator("section.panel", has=page.locator("#profile-large"))
    card.get_by_role("button", name="Edit large").click()
    page.locator("#large-memory_mb").fill("1536")
    page.locator("#large-log_limit_mb").fill("500")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(card.locator(".bar-row", has_text="Memory")).to_contain_text(re.compile("1.5 GB|1536"))
    expect(card.locator(".bar-row", has_text="Log")).to_contain_text("500 MB")
    changed = server.call("GET", "/profiles/large")
    assert (changed["memory_mb"], changed["log_limit_mb"]) == (1536, 500)

    card.get_by_role("button", name="Edit large").click()
    page.locator("#large-memory_mb").fill("4096")
    page.locator("#large-cpu").fill("1.5")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("#large-memory_mb-error")).to_contain_text("2,048")
    expect(page.locator("#large-memory_mb")).to_have_value("4096")
    expect(page.locator("#large-cpu")).to_have_value("1.5")  # typed, kept, and not stored either
    stored = server.call("GET", "/profiles/large")
    assert (stored["memory_mb"], float(stored["cpu"])) == (1536, 2.0)
