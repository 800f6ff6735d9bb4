"""Runs the tests of the browser's modules with node; and checks the templates."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.safestring import SafeString

from cronium_admin.core.templatetags.ui import format_duration, render_icon

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")
MODULES = sorted((ROOT / "tests/unit/js").glob("*.test.mjs"))
WITH_A_CLOCK = [path for path in MODULES if "mock.timers" in path.read_text()]


SOURCES = sorted((ROOT / "frontend/src").rglob("*.js"))
# The first words of the browser's function names. Add a verb here before you use it.
VERBS = """
    add align announce apply build cache cancel check choose clamp clear clip close compute connect convert copy
    correct count create deliver describe disable draw ensure erase escape evict fetch fill find finish fit format
    get go grow insert join jump linearise list load mark monitor morph move offer open pad parse place queue read
    reconnect redraw refresh remove render replace report request reset resolve restart restore resume reveal save
    schedule scroll select send set settle show split start stop store strip submit summarise sync terminate
    toggle translate trim update wait write is has on
    ask discard dispose give group handle hold jump launch post reopen store try
    can draw omit pick rename tell
"""
FUNCTION = re.compile(
    r"^(?:export )?(?:async )?function (\w+)\("
    r"|^  (?:async )?#?(\w+)\(.*\) \{"
    r"|^(?:export )?\s*const (\w+) = (?:async )?(?:\w+|\([^()]*\)) =>",
    re.M,
)


def has_mocked_dates() -> bool:
    """Node from 20.11 on; Debian 12 has 18.20."""
    if NODE is None:
        return False
    answer = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, *_ = answer.strip().removeprefix("v").split(".")
    return (int(major), int(minor)) >= (20, 11)


def run_modules(paths: list[Path]) -> None:
    assert paths
    done = subprocess.run(
        [str(NODE), "--test", *map(str, paths)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_modules_of_the_browser() -> None:
    run_modules([path for path in MODULES if path not in WITH_A_CLOCK])


@pytest.mark.skipif(not has_mocked_dates(), reason="needs node 20.11 or newer")
def test_the_modules_of_the_browser_that_tell_the_time() -> None:
    run_modules(WITH_A_CLOCK)


def test_pages_and_scripts_format_durations_alike() -> None:
    for milliseconds, text in json.loads((ROOT / "tests/unit/js/durations.json").read_text()):
        assert format_duration(timedelta(milliseconds=milliseconds)) == text


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    """The content policy blocks them, and htmx's own handlers and event filters do not work under it."""
    forbidden = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|hx-on|hx-trigger=\"[^\"]*\[|javascript:|<script(?![^>]*\bsrc=)", re.I
    )
    for template in (ROOT / "templates").rglob("*.html"):
        assert not forbidden.search(template.read_text()), template


def test_functions_of_the_browser_begin_with_a_verb() -> None:
    names = [
        (path.name, next(filter(None, match.groups())))
        for path in SOURCES
        for match in FUNCTION.finditer(path.read_text())
    ]
    keywords = {"constructor", "if", "for", "while", "switch", "catch", "beforeinput"}
    names = [(file, name) for file, name in names if name not in keywords]
    assert len(names) > 300
    assert [(file, name) for file, name in names if re.split(r"[A-Z]", name)[0] not in VERBS.split()] == []


def test_an_icon_escapes_a_text_that_was_safe_before(settings: Any) -> None:
    """Icons are cached, and a safe text is equal to the same text that must be escaped."""
    assert "<b>" in render_icon(SafeString("<b>"))
    assert "<b>" not in render_icon("<b>")
    settings.STATIC_URL = "/elsewhere/"
    assert 'href="/elsewhere/cronium/sprite.svg#' in render_icon("<b>")
