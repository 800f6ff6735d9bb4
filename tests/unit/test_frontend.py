"""The logic of the browser's modules, run by node's own test runner; and what the templates may not hold."""

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


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    """The policy would refuse them, and htmx's own handlers and event filters are dead or fail open under it."""
    forbidden = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|hx-on|hx-trigger=\"[^\"]*\[|javascript:|<script(?![^>]*\bsrc=)", re.I
    )
    for template in (ROOT / "templates").rglob("*.html"):
        assert not forbidden.search(template.read_text()), template
