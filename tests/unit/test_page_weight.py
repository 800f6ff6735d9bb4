"""The weight of each kind of page: bytes of its scripts and styles, compressed as the server sends them."""

import gzip
import re
from pathlib import Path

import pytest

from tests.engine.server import ROOT

BUNDLES = ROOT / "static" / "cronium"
TEMPLATES = ROOT / "templates"
MOST_SCRIPT = 100_000  # of each page without the code editor
WITH_EDITOR = {"jobs/editor.html", "variables/editor.html"}
# Upper bounds. Raise one only for a reason that its page is worth.
MOST = {
    "theme_init.js": 400,
    "app.js": 27_000,
    "home.js": 27_000,
    "run_page.js": 26_000,
    "match.worker.js": 400,
    "schedule_editor.js": 4_000,
    "variable_editor.js": 145_000,
    "job_editor.js": 255_000,
    "vendor.css": 5_500,
    "app.css": 21_000,
    "home.css": 2_800,
    "styleguide.css": 800,
    "sprite.svg": 4_500,
}


def weigh(name: str) -> int:
    return len(gzip.compress((BUNDLES / name).read_bytes(), 9))


def list_pages() -> list[str]:
    """The templates of pages."""
    starts = ('{% extends "base.html" %}', '{% extends "alone.html" %}')
    paths = [path for path in TEMPLATES.rglob("*.html") if path.read_text().startswith(starts)]
    return sorted(str(path.relative_to(TEMPLATES)) for path in paths)


def find_bundles(template: str) -> list[str]:
    """Those that the page loads, with those of the frame."""
    frame, own = ((TEMPLATES / name).read_text() for name in ("base.html", template))
    return re.findall(r"{% static 'cronium/([\w.]+\.(?:js|css))' %}", frame + own)


def test_each_bundle_is_within_its_bound() -> None:
    names = {path.name for path in BUNDLES.iterdir() if path.suffix in (".js", ".css", ".svg")} - {"favicon.svg"}
    assert names == set(MOST)
    assert {name: weigh(name) for name in names if weigh(name) > MOST[name]} == {}


@pytest.mark.parametrize("template", list_pages())
def test_a_page_without_the_code_editor_has_little_script(template: str) -> None:
    scripts = [name for name in find_bundles(template) if name.endswith(".js")]
    assert "app.js" in scripts
    assert len(scripts) == len(set(scripts))
    if template not in WITH_EDITOR:
        assert sum(weigh(name) for name in {*scripts, "match.worker.js"}) < MOST_SCRIPT


def test_the_editor_is_loaded_by_its_pages_only() -> None:
    heavy = {"job_editor.js", "variable_editor.js"}
    assert {template for template in list_pages() if heavy & set(find_bundles(template))} == WITH_EDITOR


def test_fonts_are_small() -> None:
    fonts = list(Path(BUNDLES / "fonts").glob("*"))
    assert sum(path.stat().st_size for path in fonts) < 60_000
