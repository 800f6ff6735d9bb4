"""A user with a browser window: signs in, opens pages, and records errors of the pages."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, StorageState

from tests.engine.server import Server

PASSWORD = "for tests only 1"
_signed_in: dict[tuple[str, str], StorageState] = {}  # by server and name: signing in hashes slowly on purpose
# Beside the console's own words, which only the page's console hears.
_TELL_POLICY = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))"""
# Records every short message under the log, for tests that look later.
_KEEP_TOASTS = """window.toasts = [];
addEventListener("DOMContentLoaded", () => {
  const line = document.querySelector('[data-log="toast"]');
  if (line?.textContent) toasts.push(line.textContent);
  const keep = (changes) => changes.forEach((one) => one.addedNodes.forEach((node) => toasts.push(node.textContent)));
  if (line) new MutationObserver(keep).observe(line, { childList: true });
})"""


def _drop_aborts(problems: list[str]) -> list[str]:
    """Without requests that the browser aborted because the user went to another page: htmx reports each twice."""
    kept: list[str] = []
    for one in problems:
        if "htmx:sendAbort," not in one:
            kept.append(one)
        elif kept and kept[-1] == one.replace("htmx:sendAbort,", "htmx:afterRequest,"):
            kept.pop()
    return kept


class Visitor:
    """`page` is the window. `allow(...)` lists the errors that the test causes on purpose."""

    def __init__(self, browser: Browser, server: Server, who: str | None, **context: Any) -> None:
        self.server, self.who = server, who
        self.problems: list[str] = []
        self.allowed: list[str] = []
        self.dialogs: list[str] = []
        self.accept_dialogs = True
        known = _signed_in.get((server.url, who or ""))
        size = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB"}
        self.context = browser.new_context(base_url=server.url, storage_state=known, **{**size, **context})
        self.context.set_default_timeout(30_000)
        self.context.add_init_script(_TELL_POLICY)
        self.context.add_init_script(_KEEP_TOASTS)
        self.context.on("request", self._requested)
        self.page = self.context.new_page()
        self._listen(self.page)
        if who and not known:
            sign_in(self.page, who)
            _signed_in[server.url, who] = self.context.storage_state()

    def _listen(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("dialog", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, self.server.url.replace("http", "ws"), "data:", "blob:")):
            self.problems.append(f"request to {request.url}")

    def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.type)
        self.problems.append(f"dialog: {dialog.type} {dialog.message}")
        dialog.accept() if self.accept_dialogs else dialog.dismiss()

    def allow(self, *patterns: str) -> "Visitor":
        self.allowed += patterns
        return self

    def unexpected(self) -> list[str]:
        problems = _drop_aborts(self.problems)
        return [one for one in problems if not any(re.search(pattern, one) for pattern in self.allowed)]

    def keep(self, path: Path) -> None:
        with suppress(Error):
            self.page.screenshot(path=path)

    def close(self) -> None:
        self.context.close()


def sign_in(page: Page, who: str, password: str = PASSWORD) -> None:
    """Sends the sign-in form; opens it first if another page is shown."""
    if "/sign-in/" not in page.url:
        page.goto("/sign-in/")
    page.get_by_label("User name").fill(who)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
