"""The logic of the browser's modules, run by node's own test runner; and that the committed bundles are theirs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@needs_node
def test_the_modules_of_the_browser() -> None:
    done = subprocess.run(
        [str(NODE), "--test", str(ROOT / "tests/unit/js/")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@needs_node
@pytest.mark.skipif(not (ROOT / "frontend/node_modules").is_dir(), reason="needs `npm ci` in frontend/")
def test_the_committed_bundles_are_built_from_their_sources() -> None:
    done = subprocess.run(
        [str(NODE), str(ROOT / "frontend/build.mjs"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    """The policy would refuse them, and htmx's own handlers and event filters are dead or fail open under it."""
    forbidden = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|hx-on|hx-trigger=\"[^\"]*\[|javascript:|<script(?![^>]*\bsrc=)", re.I
    )
    for template in (ROOT / "templates").rglob("*.html"):
        assert not forbidden.search(template.read_text()), template
