"""A class of the style sheets is one component: its rule stands in one place. Every named icon is in the sprite."""

import re
from collections import Counter

from cronium_admin.core.templatetags.ui import LANGUAGES, STATES
from cronium_admin.palette.pages import PAGES
from tests.engine.server import ROOT

STYLES = sorted((ROOT / "frontend" / "src" / "css").glob("*.css"))
TEMPLATES = [path.read_text() for path in (ROOT / "templates").rglob("*.html")]


def list_rules(css: str) -> list[str]:
    """The selectors of the rules outside of @media and the like. A rule of several selectors has them as one text."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    selectors, depth, start = [], 0, 0
    for place, character in enumerate(css):
        if character == "{":
            selectors += [css[start:place].strip()] if depth == 0 else []
            depth += 1
        elif character == "}":
            depth -= 1
        if character in "};" and depth == 0:
            start = place + 1
    return selectors


def test_a_class_is_defined_once() -> None:
    rules = Counter(selector for path in STYLES for selector in list_rules(path.read_text()))
    assert len(rules) > 500
    assert [name for name, number in rules.items() if number > 1 and re.fullmatch(r"\.[\w-]+", name)] == []


def test_each_icon_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', (ROOT / "static" / "cronium" / "sprite.svg").read_text()))
    named = {name for text in TEMPLATES for name in re.findall(r'\{% icon "([\w-]+)"', text)}
    named |= {name for name, _ in (*STATES.values(), *LANGUAGES.values())} | {page.icon for page in PAGES}
    assert named - sprite == set()
