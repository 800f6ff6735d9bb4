"""The display of lines: colours, links, long lines, copies, keys, full screen."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.scripts import python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

# Every colour by name, a line each, so that a test can read the line's style.
COLOURS = python(r"""
    for n in range(8):
        print(f"\033[{30 + n}mfront\033[0m \033[{90 + n}mbright\033[0m \033[1;{30 + n}mbold\033[0m \033[2;{30 + n}mdim")
        print(f"\033[{40 + n}mground\033[0m \033[{100 + n}mbright\033[0m \033[7;{30 + n}mreversed\033[0m \033[7mplain")
    print(" ".join(f"\033[38;5;{n}mx\033[0m" for n in range(256)))
    print(" ".join(f"\033[48;5;{n}mx\033[0m" for n in range(256)))
    print(" ".join(f"\033[1;38;2;{n};{255 - n};{n * 7 % 256}mx\033[0m" for n in range(0, 256, 5)))
    print(" ".join(f"\033[38;2;{n};0;0;48;2;{255 - n};0;0mx\033[0m" for n in range(0, 256, 5)))
    print("\033[2mdim\033[0m \033[7;38;2;90;90;250mreversed\033[0m \033[30;40mblack on black\033[0m")
""")
_CONTRAST = """() => {
  const parse = (css) => css.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const over = (front, back, share) => front.map((v, at) => v * share + back[at] * (1 - share));
  const log = parse(getComputedStyle(document.querySelector('.log-area')).backgroundColor).slice(0, 3);
  const low = [];
  let checked = 0;
  for (const piece of document.querySelectorAll('.log-text span')) {
    const style = getComputedStyle(piece);
    const [r, g, b, a = 1] = parse(style.backgroundColor);
    const ground = a ? [r, g, b] : log;
    const ink = over(parse(style.color).slice(0, 3), ground, Number(style.opacity));
    const [x, y] = [light(ink), light(ground)].sort((m, n) => m - n);
    const contrast = (y + 0.05) / (x + 0.05);
    checked++;
    if (contrast < 4.5) low.push(`${piece.className} ${piece.getAttribute('style')} ${contrast.toFixed(2)}`);
  }
  return [checked, low];
}"""
MIXED = r"""
printf 'see http://docs.example/a?b=1#c, or (https://docs.example/x).\n'
printf '\033[31mhttp://docs.exa\033[1mmple/coloured\033[0m javascript:alert(1) data:text/html,x http://u:p@evil.example/\n'
for p in 10 20 30 100; do printf '\r[%3d %%]' $p; done; printf '\n'
printf 'bad \377\376 bytes \303\251\n'
printf 'abc\tdef  two  spaces\n'
head -c 1000000 /dev/zero | tr '\0' x; printf ' end\n'
printf '\346\274\242\345\255\227 \360\237\221\215 \340\275\200 \340\271\201\340\270\204 Z\314\200\314\201\314\202\n'
echo oops >&2
"""


@pytest.fixture(scope="module")
def mixed(server: Server) -> str:
    run_id = server.run(MIXED)
    assert server.ended(run_id)["log_lines"] == 8
    return run_id


def _at(page: Page, server: Server, run_id: str, text: str) -> int:
    """The number of the line with `text`: the order of the two streams is not fixed."""
    lines = server.call("GET", f"/runs/{run_id}/logs?limit=100")["lines"]
    return int(next(line["seq"] for line in lines if text in line["text"]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_can_be_read(visit: Callable[..., Visitor], server: Server, theme: str) -> None:
    page = visit(color_scheme=theme).page
    run_id = server.run(COLOURS, "python")
    server.ended(run_id)
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 21)
    checked, low = page.evaluate(_CONTRAST)
    assert checked > 600
    assert low == []
    # The bright colours are separate colours.
    for name in "fb":
        shown = page.evaluate(
            """(name) => [...Array(16).keys()].map((n) => {
                 const style = getComputedStyle(document.querySelector(`.log-text .${name}${n}`));
                 return name === 'f' ? style.color : style.backgroundColor; })""",
            name,
        )
        assert len(set(shown)) == 16, shown


def test_addresses_are_links_and_nothing_else_is(page: Page, server: Server, mixed: str) -> None:
    page.goto(f"/runs/{mixed}/")
    logview.expect_complete(page, 8)
    links = page.locator(".log-text a")
    expect(links).to_have_count(3)
    facts = links.evaluate_all("all => all.map((a) => [a.textContent, a.href, a.title, a.rel, a.target])")
    safe = ["noopener noreferrer nofollow", "_blank"]
    addresses = ["http://docs.example/a?b=1#c", "https://docs.example/x", "http://docs.example/coloured"]
    assert facts == [[address, address, address, *safe] for address in addresses]
    assert links.nth(2).locator("span").evaluate_all("all => all.map((one) => one.className)") == ["f1", "a-b f1"]
    # A match may lie across the link's edge.
    logview.focus(page)
    page.keyboard.press("/")
    page.keyboard.type("see http://docs")
    row = logview.row(page, _at(page, server, mixed, "see http"))
    expect(row.locator("mark")).to_have_text(["see ", "http://docs"])
    expect(row.locator(".log-text a")).to_have_text(addresses[:2])


def test_a_terminals_line_a_bad_byte_and_a_long_line(page: Page, server: Server, mixed: str) -> None:
    page.goto(f"/runs/{mixed}/")
    logview.expect_complete(page, 8)
    expect(page.locator(".log-text", has_text="[100 %]")).to_have_text("[100 %]")
    expect(page.locator(".log-text", has_text="bad")).to_have_text("bad \ufffd\ufffd bytes é")
    # Without wrapping every row has the same height, whatever its content.
    heights = page.locator(".log-row").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert set(heights) == {18}
    long = logview.row(page, _at(page, server, mixed, "xxx"))
    assert len(long.locator(".log-text").text_content() or "") < 20_000
    long.get_by_role("button", name="show all 1,000,004 characters").click()
    expect(long.get_by_role("button")).to_have_count(0)
    assert long.locator(".log-text").evaluate("one => one.textContent.length") == 1_000_004


_SELECT = """([from, to]) => {
  const text = (n) => document.querySelector(`.log-no[data-n="${n}"]`).parentElement.querySelector('.log-text');
  const range = document.createRange();
  range.setStart(text(from).firstChild, 2);
  range.setEnd(text(to).firstChild, 3);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}"""


def test_copies_hold_the_lines_alone(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page
    run_id = server.run('for n in $(seq 1 400); do echo "word $n"; done')
    server.ended(run_id)
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 400)
    logview.choose_times(page, "Clock")
    copied = "navigator.clipboard.readText()"
    logview.focus(page)
    expect(logview.text(page, 390)).to_have_text("word 390")
    page.evaluate(_SELECT, [390, 392])
    page.keyboard.press("Control+c")
    assert page.evaluate(copied) == "rd 390\nword 391\nwor"

    # A selection that began where nothing is drawn any more, and everything: by line number.
    logview.row(page, 395).locator(".log-text").click()
    page.locator('[data-log="scroll"]').press("Home")
    expect(logview.row(page, 1)).to_be_in_viewport()
    expect(logview.text(page, 5)).to_have_text("word 5")
    page.evaluate(_SELECT, [3, 5])
    page.keyboard.press("Control+c")
    logview.expect_toast(page, "393 lines copied.")
    assert page.evaluate(copied).split("\n") == [f"word {n}" for n in range(3, 396)] + [""]
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+c")
    logview.expect_toast(page, "400 lines copied.")
    with page.expect_download() as kept:
        page.keyboard.press("d")
    assert kept.value.path().read_bytes() == server.text(run_id)


# Every change of the drawn rows, as a word.
_CHANGES = """() => {
  window.changes = [];
  const keep = (all) => all.forEach((one) => changes.push(`${one.target.className} ${one.type} ${one.attributeName}`));
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(keep).observe(document.querySelector('[data-log="block"]'), all);
}"""


@pytest.mark.parametrize(
    ("width", "day"), [(1440, r"\d+ [A-Z][a-z]{2} \d\d:\d\d:\d\d\.\d{3}"), (390, r"\d+ [A-Z][a-z]{2} \d\d:\d\d:\d\d")]
)
def test_times_pass_and_tell_the_day(visit: Callable[..., Visitor], server: Server, width: int, day: str) -> None:
    page = visit(viewport={"width": width, "height": 844}).page
    run_id = server.run("seq 1 300")
    server.ended(run_id)
    page.clock.install(time=datetime.now() + timedelta(days=2))
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 300)
    logview.focus(page)
    page.keyboard.press("t")
    page.keyboard.press("t")
    time = logview.row(page, 300).locator(".log-time")
    expect(time).to_have_attribute("data-t", re.compile(r"^(just now|\d+ s ago|\d min ago)$"))
    # A step of three hours is three hours without an answer of the server: its bar would make the log's box smaller.
    page.evaluate("document.getElementById('no-word').style.display = 'none'")
    page.evaluate(_CHANGES)
    page.clock.fast_forward(3 * 3600 * 1000)
    expect(time).to_have_attribute("data-t", "3 h ago")
    assert set(page.evaluate("changes")) == {"log-time attributes data-t"}  # nothing else was drawn

    page.keyboard.press("t")
    expect(time).to_have_attribute("data-t", re.compile(f"^{day}$"))
    expect(time).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$"))
    edges = "one => [one.getBoundingClientRect().right, one.nextSibling.getBoundingClientRect().left]"
    right, left = time.evaluate(edges)
    assert right < left


def test_everything_by_keyboard(page: Page, server: Server) -> None:
    run_id = server.run("seq 1 300")
    server.ended(run_id)
    page.goto(f"/runs/{run_id}/")
    expect(logview.row(page, 300)).to_be_in_viewport()  # it opens at its end
    page.evaluate("window.scrollTo(0, 0)")
    logview.focus(page)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys of the log")
    expect(dialog.locator("kbd", has_text=re.compile("^/$"))).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator('[data-log="scroll"]')).to_be_focused()

    page.keyboard.press("g")
    expect(logview.row(page, 1)).to_be_in_viewport()
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile("#L2$"))
    page.keyboard.press("PageDown")
    expect(logview.row(page, 2)).not_to_be_in_viewport()
    page.keyboard.press("M")
    expect(page).to_have_url(re.compile(r"#L2-\d{2}$"))
    page.keyboard.press("t")
    expect(logview.row(page, 40).locator(".log-time")).to_have_attribute("data-t", re.compile(r"^-?0:\d\d\.\d{3}$"))
    page.keyboard.press("w")
    expect(page.get_by_role("button", name="Wrap long lines")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("w")

    page.keyboard.press("z")
    full = page.get_by_role("button", name="Full screen")
    expect(full).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.querySelector('.log').getBoundingClientRect().height") == 900
    page.keyboard.press("/")
    page.keyboard.press("Escape")  # the innermost first
    expect(page.locator('[data-log="find-bar"]')).to_be_hidden()
    expect(full).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(full).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("End")
    expect(logview.row(page, 300)).to_be_in_viewport()


def test_the_page_behind_a_full_screen_cannot_be_reached(page: Page, server: Server, mixed: str) -> None:
    page.goto(f"/runs/{mixed}/")
    logview.expect_complete(page, 8)
    page.get_by_role("button", name="Full screen").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || !!document.activeElement.closest('.log')"
        assert page.evaluate(inside)


def test_what_is_said_aloud_is_not_every_line(page: Page, server: Server) -> None:
    run_id = server.run(python("for n in range(400): print(n); time.sleep(0.01)"), "python")
    page.add_init_script("""addEventListener("DOMContentLoaded", () => {
      window.said = [];
      const region = document.querySelector('[data-log="say"]');
      new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true });
    })""")
    began = time.monotonic()
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 400)
    page.wait_for_function("said.at(-1) === '400 lines, complete'")
    said = page.evaluate("said")
    assert len(said) <= 4 + (time.monotonic() - began) / 10, said
