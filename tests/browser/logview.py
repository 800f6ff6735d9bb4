"""Reads the log viewer as a user does: scrolls from the first line to the last."""

import re

from playwright.sync_api import Locator, Page, Route, expect

_READ = """async (holes) => {
  const scroll = document.querySelector('[data-log="scroll"]');
  const block = document.querySelector('[data-log="block"]');
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const seen = new Map(), faults = [];
  const shown = () => {
    const box = scroll.getBoundingClientRect();
    return [...block.children].filter((row) => {
      const at = row.getBoundingClientRect();
      return at.bottom > box.top + 1 && at.top < box.bottom - 1;
    });
  };
  scroll.scrollTop = 0;
  for (let step = 0; step < 5000; step++) {
    const until = performance.now() + 30000;
    do {
      await frame();
      if (performance.now() > until) throw new Error('rows stay empty at ' + scroll.scrollTop);
    } while (shown().some((row) => row.classList.contains('none')));
    let before = 0;
    for (const row of shown()) {
      if (row.classList.contains('part') || row.classList.contains('gap')) continue;
      const n = Number(row.querySelector('.log-no').dataset.n);
      const text = row.querySelector('.log-text').textContent;
      if (before && (holes ? n <= before : n !== before + 1)) faults.push(`${n} after ${before}`);
      if (seen.has(n) && seen.get(n) !== text) faults.push(`${n} has two texts`);
      seen.set(n, text);
      before = n;
    }
    if (scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 1) break;
    scroll.scrollTop += scroll.clientHeight - 40;
  }
  return { lines: [...seen], faults };
}"""


def status(page: Page) -> Locator:
    """The status line under the log: the number of lines and of gaps."""
    return page.locator('[data-log="status"]')


def row(page: Page, number: int) -> Locator:
    return page.locator(".log-row", has=page.locator(f'a.log-no[data-n="{number}"]'))


def focus(page: Page) -> None:
    """Clicks into the log."""
    page.locator('[data-log="scroll"]').focus()


def text(page: Page, number: int) -> Locator:
    return row(page, number).locator(".log-text")


_TOLD = """(words) => {
  const at = toasts.findIndex((one) => one.includes(words));
  toasts.splice(0, at + 1);
  return at >= 0;
}"""
# The scroll position of the log, after it has been constant for a while.
_PLACE = """async () => {
  const scroll = document.querySelector('[data-log="scroll"]');
  let top = -1, since = 0;
  while (top < 0 || performance.now() - since < 500) {
    if (scroll.scrollTop !== top) [top, since] = [scroll.scrollTop, performance.now()];
    await new Promise(requestAnimationFrame);
  }
  return top;
}"""


class Held:
    """A route's handler: holds requests until they are released; later requests pass."""

    def __init__(self) -> None:
        self.waiting: list[Route] | None = []

    def __call__(self, route: Route) -> None:
        if self.waiting is None:
            route.continue_()
        else:
            self.waiting.append(route)

    def release(self) -> None:
        waiting, self.waiting = self.waiting or [], None
        for route in waiting:
            route.continue_()


def expect_toast(page: Page, words: str) -> None:
    """Expects that a short message was shown under the log since the last call."""
    page.wait_for_function(_TOLD, arg=words)


def place(page: Page) -> float:
    """The scroll position of the log in pixels, after scrolling has stopped."""
    return float(page.evaluate(_PLACE))


def expect_marked(page: Page, numbers: list[int]) -> None:
    marked = page.locator(".log-row.marked .log-no")
    expect(marked).to_have_count(len(numbers))
    assert marked.evaluate_all("all => all.map((one) => Number(one.dataset.n))") == numbers


def read_all(page: Page) -> list[str]:
    """The texts of all lines; fails if a number is missing, out of order or duplicated."""
    found = page.evaluate(_READ, False)
    assert found["faults"] == []
    numbers = [number for number, _ in found["lines"]]
    assert numbers == list(range(1, len(numbers) + 1))
    return [text for _, text in found["lines"]]


def read_some(page: Page) -> dict[int, str]:
    """The texts of the visible lines by number; fails if lines are out of order or duplicated."""
    found = page.evaluate(_READ, True)
    assert found["faults"] == []
    return dict(found["lines"])


def expect_complete(page: Page, count: int, seconds: float = 60) -> None:
    words = f"{count:,} line{'' if count == 1 else 's'}, complete"
    expect(status(page)).to_have_text(re.compile(f"^{re.escape(words)}"), timeout=seconds * 1000)


def expect_state(page: Page, word: str, seconds: float = 60) -> None:
    """Expects this status in the page's head."""
    expect(page.locator("#run-facts .state").first).to_contain_text(word, timeout=seconds * 1000)


def choose_times(page: Page, label: str) -> None:
    page.locator('[data-log="times"] > summary').click()
    page.get_by_role("button", name=label).click()
