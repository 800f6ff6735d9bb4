"""Custom images in the job editor: choosing one, its packages, a newer version. Their rows are made without builds."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.job_editor import open_settings, save, save_and_show_job
from tests.browser.test_editor import write
from tests.browser.visitor import Visitor
from tests.engine.server import Server, manage

_MAKE_IMAGES = """
from cronium_admin.images.models import CustomImage
from tests.custom_images import make_ready_image, make_version
recipe = {"base": "python", "python": ["requests==2.*"], "system": ["libpq5"]}
first = [["pypi", "requests", "2.32.3"], ["deb", "libpq5", "17.6-0"], ["deb", "<b>libc6</b>", "2.41"]]
second = [["pypi", "requests", "2.33.1"], ["pypi", "numpy", "2.1.0"], *first[1:]]
image = make_ready_image("reports", (), recipe=recipe)
make_version(image, 1, packages=first)
make_version(image, 2, packages=second, recipe={**recipe, "python": ["requests==2.*", "numpy"]})
make_ready_image("charts", language="node", recipe={"base": "node", "node": ["lodash@4"]})
from cronium_admin.images.own_images import store_sbom
from cronium_admin.images.resolution import find_default_reference
store_sbom(find_default_reference("python"), b'{"components": [{"purl": "pkg:pypi/requests@2", "name": "requests"}]}')
"""
_REMOVE_IMAGES = """
from cronium_admin.images.models import CustomImage, OwnImage
CustomImage.objects.all().delete()
OwnImage.objects.update(sbom=b"", sbom_digest="")
"""


@pytest.fixture
def images(server: Server) -> Iterator[None]:
    """reports, for Python, with the versions 1 and 2, and charts, for Node.js; the default image has requests."""
    manage(server.env, "shell", "-c", _MAKE_IMAGES)
    yield
    manage(server.env, "shell", "-c", _REMOVE_IMAGES)


def get_image(server: Server, slug: str) -> str:
    return str(server.call("GET", f"/jobs/{slug}")["image"])


def choose_language(page: Page, language: str) -> None:
    page.locator("label", has=page.locator(f'input[name="language"][value="{language}"]')).click()


@pytest.mark.usefixtures("images")
def test_a_custom_image_is_chosen_and_shows_its_packages(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().page
    page.goto("/jobs/new/")
    open_settings(page)
    page.get_by_label("Name", exact=True).fill("Uses an image")
    choice, info = page.get_by_label("Image", exact=True), page.locator("#image-info")
    expect(choice.locator("option:checked")).to_contain_text("Default: cronium/runner:python")
    expect(choice.locator("optgroup")).to_have_count(1)  # those for Python
    expect(page.get_by_label("Name of the image")).to_be_hidden()
    choice.select_option("reports: always the newest version (now 2)")
    expect(info).to_contain_text("Now version 2")
    expect(info).to_contain_text("python + requests 2.33.1, numpy 2.1.0, libpq5")
    info.get_by_text("4 packages").click()
    expect(info.get_by_role("list", name="Packages of the image")).to_contain_text("<b>libc6</b> 2.41 Debian")

    choose_language(page, "node")
    expect(info).to_contain_text("reports is an image for Python; this job is written in Node.js.")
    expect(page.get_by_label("Name of the image")).to_have_value("cronium/custom/reports")
    choice.select_option("charts: always the newest version (now 1)")
    expect(info).to_contain_text("node + lodash")
    choose_language(page, "python")
    choice.select_option("Another image…")
    expect(page.get_by_label("Name of the image")).to_be_focused()
    page.get_by_label("Name of the image").fill("cronium/custom/later")
    expect(info).to_contain_text("This project has no custom image later.")
    choice.select_option("cronium/custom/reports:1")
    save_and_show_job(page)
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.locator("main")).to_contain_text("A newer version of its image exists: version 2")
    assert get_image(server, "uses-an-image") == "cronium/custom/reports:1"


@pytest.mark.usefixtures("images")
def test_a_newer_version_is_taken_over_and_saved_by_the_user(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("print(1)", "python", name="Stays at one", image="cronium/custom/reports:1", enabled=False)
    page = visit().page
    page.goto(f"/jobs/{slug}/edit/")
    open_settings(page)
    info = page.locator("#image-info")
    expect(info).to_contain_text("Version 2 exists")
    expect(info).to_contain_text("adds numpy 2.1.0; changes requests 2.32.3 to 2.33.1.")
    expect(page.locator("#unsaved")).to_be_hidden()
    info.get_by_role("button", name="Use version 2").click()
    expect(page.get_by_label("Image", exact=True)).to_have_value("cronium/custom/reports:2")
    expect(page.get_by_label("Image", exact=True)).to_be_focused()
    expect(info).not_to_contain_text("exists")
    expect(page.locator("#unsaved")).to_be_visible()
    assert get_image(server, slug) == "cronium/custom/reports:1"
    save(page)
    assert get_image(server, slug) == "cronium/custom/reports:2"


@pytest.mark.usefixtures("images")
def test_the_link_of_the_jobs_page_changes_the_form_only(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("print(1)", "python", name="Linked", image="cronium/custom/reports:1", enabled=False)
    page = visit().allow("dialog: beforeunload").page
    page.goto(f"/jobs/{slug}/settings/")
    page.get_by_role("link", name="version 2").click()
    expect(page.get_by_label("Image", exact=True)).to_have_value("cronium/custom/reports:2")
    expect(page.get_by_label("Image", exact=True)).to_be_visible()  # its group of settings is open
    expect(page.locator("#unsaved")).to_be_visible()
    assert get_image(server, slug) == "cronium/custom/reports:1"


@pytest.mark.usefixtures("images")
def test_a_script_that_imports_more_offers_an_image(visit: Callable[..., Visitor]) -> None:
    page = visit().allow("dialog: beforeunload").page
    page.goto("/jobs/new/")
    open_settings(page)
    info = page.locator("#image-info")
    write(page, "import json, requests, numpy as np\ntry:\n    import ujson\nexcept ImportError:\n    ujson = json\n")
    expect(info).to_contain_text("This script imports numpy, which its image lacks.")
    expect(page.locator(".cm-content")).to_be_focused()
    page.keyboard.insert_text("from PIL import Image\n")
    expect(info).to_contain_text("This script imports numpy and pillow, which its image lacks.")
    page.get_by_label("Image", exact=True).select_option("cronium/custom/reports")
    expect(info).to_contain_text("This script imports pillow, which its image lacks.")
    with page.expect_popup() as opened:
        info.get_by_role("link", name="Add it to the recipe of reports").click()
    expect(opened.value.get_by_label("Python packages")).to_have_value("requests==2.*\npillow")

    page.get_by_label("Image", exact=True).select_option("")
    with page.expect_popup() as opened:
        info.get_by_role("link", name="Build an image with them").click()
    expect(opened.value.get_by_label("Python packages")).to_have_value("numpy\npillow")
    write(page, "import json\n")
    expect(info).not_to_contain_text("lacks")


@pytest.mark.usefixtures("images")
def test_an_image_is_chosen_without_script(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("print(1)", "python", name="Without script", image="cronium/custom/reports:1", enabled=False)
    page = visit(java_script_enabled=False).page
    page.goto(f"/jobs/{slug}/edit/")
    open_settings(page)
    expect(page.locator("#image-info")).to_contain_text("To use it, write cronium/custom/reports:2.")
    page.get_by_role("combobox", name="Image", exact=True).fill("cronium/custom/reports:2")
    save(page)
    assert get_image(server, slug) == "cronium/custom/reports:2"
