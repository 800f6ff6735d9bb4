"""Makes the screenshots of the documentation: `python -m tests.browser.screenshots` writes docs/images/."""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import logview
from tests.browser.conftest import launch_chromium
from tests.browser.scripts import open_gate
from tests.browser.visitor import Visitor
from tests.engine.server import ROOT, Server, Template

OUT = ROOT / "docs" / "images"
MAX_BYTES = 150_000
SCRIPT = '''\
"""Adds up yesterday's orders by region and hands on the totals."""

import json
import os
import sys
import time
from pathlib import Path

import cronium

GREEN, YELLOW, BLUE, BOLD, OFF = (f"\\033[{code}m" for code in (32, 33, 34, 1, 0))
REGIONS = {"north": 1840, "south": 2215, "east": 967, "west": 1502}


def say(text: str) -> None:
    print(text, flush=True)
    time.sleep(0.12)


order = cronium.input()
say(f"{BOLD}Nightly report{OFF} for {BLUE}{order['day']}{OFF}, stage {os.environ['STAGE']}")
total = 0
for region, orders in REGIONS.items():
    say(f"reading {region:<6} {orders:>6,} orders")
    for part in range(1, 5):
        say(f"  part {part} of 4   {'#' * part * 6:<24} {part * 25:>3} %")
    if region == "east":
        print("  12 orders have no customer number; counted as unknown", file=sys.stderr, flush=True)
        say(f"  {YELLOW}warning{OFF} 12 of {orders} orders counted as unknown")
    total += orders
    say(f"  {GREEN}ok{OFF} {region}, {total:,} orders so far")

Path("/workspace/report.json").write_text(json.dumps({"orders": total}))
cronium.output({"day": order["day"], "orders": total, "regions": len(REGIONS)})
say(f"{BOLD}report written{OFF}, waiting for the archive to take it")
while not Path("/tmp/go").exists():
    time.sleep(0.05)
say(f"{GREEN}done{OFF}")
'''
JOB = {
    **{"name": "Nightly report", "slug": "nightly-report", "timeout_seconds": 900, "profile": "medium"},
    **{"env": {"STAGE": "production", "REGION": "all"}, "input": {"day": "2026-01-31"}, "tags": ["nightly", "billing"]},
}


def take(page: Page, name: str) -> None:
    """Saves a screenshot of the window; reduces the colours of a large file."""
    path = OUT / f"{name}.png"
    page.evaluate("document.activeElement?.blur()")
    page.screenshot(path=path)
    if path.stat().st_size > MAX_BYTES:
        from PIL import Image

        with Image.open(path) as image:
            image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
                path, optimize=True
            )


def photograph(browser: Browser, server: Server) -> None:
    slug = server.job(SCRIPT, "python", **JOB)
    visitor = Visitor(browser, server, "admin", color_scheme="light")
    page = visitor.page
    expect(page).to_have_url(re.compile(r"//[^/]+/$"))
    run_id = server.launch(slug)
    page.goto(f"/runs/{run_id}/")
    logview.choose_times(page, "Since the start")
    with server.watch(run_id) as watch:
        watch.until_line("report written")
    expect(logview.row(page, len(watch.lines))).to_be_in_viewport()
    take(page, "run")
    open_gate(server, run_id)
    server.ended(run_id)
    page.goto(f"/jobs/{slug}/edit/")
    expect(page.locator(".cm-line").first).to_be_visible()
    take(page, "editor")
    visitor.close()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cronium-pictures-") as folder, sync_playwright() as playwright:
        template = Template(Path(folder) / "template")
        template.copy_to(Path(folder) / "server")
        server = Server(Path(folder) / "server", template.token)
        server.start()
        try:
            browser = launch_chromium(playwright)
            photograph(browser, server)
            browser.close()
        finally:
            server.stop()
            server.sweep()


if __name__ == "__main__":
    main()
