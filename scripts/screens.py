"""Takes a picture of every page, light and dark, wide and on a phone: `make screens` writes docs/screens/.

`scripts/screens.py NAME ...` takes those of some pages again; names end with * for all that begin so.
"""

import argparse
import io
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser import demo
from tests.browser.conftest import launch_chromium
from tests.browser.pages import PAGES
from tests.browser.visitor import Visitor
from tests.engine.server import ROOT, Server, Template

OUT = ROOT / "docs" / "screens"
FREQUENT, COLOURS = 48, 160  # of a picture: kept in any case, and at most
NEAR = 300  # squared distance of two colours; a rarer colour that is so near to a kept one is replaced
HEIGHTS = {1440: (900, 2000), 390: (844, 2400)}  # by width: of the window, and at most of a picture
THEMES = ("light", "dark")


def choose_colours(counted: list[tuple[int, tuple[int, int, int]]]) -> list[tuple[int, int, int]]:
    """The most frequent ones, and rarer ones that look different: states are often written in few pixels."""
    chosen: list[tuple[int, int, int]] = []
    for _, colour in sorted(counted, reverse=True):
        if len(chosen) < FREQUENT or all(measure_distance(colour, other) > NEAR for other in chosen):
            chosen.append(colour)
        if len(chosen) == COLOURS:
            break
    return chosen


def measure_distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def save_picture(png: bytes, path: Path) -> None:
    """With few colours, so that the file is small."""
    with Image.open(io.BytesIO(png)) as image:
        whole = image.convert("RGB")
    palette = Image.new("P", (1, 1))
    colours = choose_colours(whole.getcolors(whole.width * whole.height) or [])
    palette.putpalette([part for colour in colours for part in colour])
    few = whole.quantize(palette=palette, dither=Image.Dither.NONE)
    few.convert("RGB").save(path, "WEBP", lossless=True, quality=70, method=3)


def take_pictures(visitor: Visitor, name: str, places: dict[str, str], width: int) -> None:
    """The window gets the height of the page, within bounds."""
    page, shown, (height, largest) = visitor.page, PAGES[name], HEIGHTS[width]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(shown.path.format(**places))
    page.locator(shown.ready).first.wait_for(timeout=20_000)
    if shown.act:
        shown.act(page)
    page.wait_for_timeout(500)
    if not page.locator("dialog[open]").count():
        whole = int(page.evaluate("document.documentElement.scrollHeight"))
        if whole > height:
            page.set_viewport_size({"width": width, "height": min(whole, shown.tallest or largest)})
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_timeout(60)
        target = OUT / f"{name}-{width}-{theme}.webp"
        save_picture(page.screenshot(animations="disabled"), target)


def take_all(browser: Browser, servers: dict[bool, Server], places: dict[str, str], names: list[str]) -> list[str]:
    """Returns the names of the pages whose picture failed."""
    failed = []
    for width in HEIGHTS:
        look: dict[str, object] = {"timezone_id": "Europe/Berlin", "viewport": {"width": width, "height": 900}}
        if width < 600:
            look |= {"has_touch": True, "is_mobile": True, "device_scale_factor": 1}
        people = {(PAGES[name].is_empty, PAGES[name].who) for name in names}
        visitors = {key: Visitor(browser, servers[key[0]], key[1], **look) for key in people}
        for name in names:
            try:
                take_pictures(visitors[PAGES[name].is_empty, PAGES[name].who], name, places, width)
            except Error as error:  # the other pictures are wanted all the same
                failed.append(name)
                sys.stderr.write(f"{name}, {width} wide: {str(error)[:300]}\n")
        for visitor in visitors.values():
            visitor.close()
    return failed


def write_index() -> None:
    lines = [
        "# Pictures of the pages",
        "",
        "`make screens` takes them, on demo data. Each page is shown light and dark,",
    ]
    lines += ["1440 and 390 pixels wide. `tests/browser/pages.py` lists the pages.", "", "| page | wide | phone |"]
    lines += ["| --- | --- | --- |"]
    for name, shown in PAGES.items():
        links = [f"[{theme}]({name}-{width}-{theme}.webp)" for width in HEIGHTS for theme in THEMES]
        state = name.replace("-", " ")
        lines.append(f"| {state}, `{shown.path}` | {' '.join(links[:2])} | {' '.join(links[2:])} |")
    (OUT / "README.md").write_text("\n".join(lines) + "\n")


def choose_names(patterns: list[str]) -> list[str]:
    names = [name for name in PAGES if not patterns or any(fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        sys.exit(f"No page is named {' '.join(patterns)}. Names: {', '.join(PAGES)}.")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="pages of tests/browser/pages.py; all if none is named")
    names = choose_names(parser.parse_args().names)
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cronium-screens-") as folder, sync_playwright() as playwright:
        template = Template(Path(folder) / "template")
        with (
            demo.serve(template, Path(folder) / "demo", with_data=True) as server,
            demo.serve(template, Path(folder) / "empty", with_data=False) as empty,
        ):
            places = demo.build(server)
            if any(name.startswith("image") for name in names):
                demo.build_images(server)
            browser = launch_chromium(playwright)
            failed = take_all(browser, {False: server, True: empty}, places, names)
            browser.close()
    write_index()
    if failed:
        sys.exit(f"No picture of {', '.join(sorted(set(failed)))}.")


if __name__ == "__main__":
    main()
