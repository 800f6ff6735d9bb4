"""The list of the pages, for pictures and for checks of accessibility: each with demo data or without any data.

`tests/unit/test_pages_list.py` compares it with the URLs, so that a new page can't be left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

Act = Callable[[Page], None]


@dataclass(frozen=True)
class Shown:
    """`path` may name places of the demo data, such as {job}. `ready` is visible when the page is rendered."""

    path: str
    ready: str
    route: str = ""  # the name of the page's URL; empty: another state of a page that is listed with its route
    who: str | None = "admin"
    is_empty: bool = False  # on the server without data
    act: Act | None = None  # what the visitor does before the picture
    tallest: int = 0  # of the picture, in pixels; 0: as for each page
    problems: tuple[str, ...] = ()  # expected messages of the console


def open_dialog(name: str) -> Act:
    return lambda page: page.locator(f"[data-dialog='{name}']").first.click()


def open_menu(label: str) -> Act:
    return lambda page: page.locator(f"summary[aria-label='{label}']").click()


def open_palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.locator("#palette input").fill("run n")
    page.locator("#palette .entry").first.wait_for()


def open_keys(page: Page) -> None:
    page.locator("body").press("?")
    page.locator("dialog[open]").wait_for()


def save_unnamed(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#problems").wait_for()


def choose_rows(page: Page) -> None:
    for box in page.locator("tbody input.pick").all()[:3]:
        box.check()


def choose_jobs_to_disable(page: Page) -> None:
    choose_rows(page)
    page.get_by_label("What to do").select_option("disable")
    page.get_by_role("button", name="Continue…").click()
    page.locator("h1:has-text('Disable')").wait_for()


def choose_runs_to_repeat(page: Page) -> None:
    choose_rows(page)
    page.get_by_label("What to do").select_option("rerun_failed")
    page.get_by_role("button", name="Continue…").click()
    page.locator(".crumbs").wait_for()


def run_in_editor(page: Page) -> None:
    page.get_by_role("button", name="Try without saving").click()
    page.locator(".log-row").first.wait_for()


def find_in_log(page: Page) -> None:
    page.locator(".log-row").first.wait_for()
    page.locator("[data-log=find]").click()
    page.locator("[data-find=input]").fill("INV")
    page.locator(".log-row mark").first.wait_for()


def sign_in_wrongly(page: Page) -> None:
    page.get_by_label("User name").fill("ana")
    page.get_by_label("Password").fill("a wrong password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").first.wait_for()


def open_groups(page: Page) -> None:
    page.evaluate("document.querySelectorAll('.settings details').forEach((group) => { group.open = true })")


def open_first(selector: str) -> Act:
    return lambda page: page.locator(selector).first.click()


MISSING = ("status of 404",)
REFUSED = ("status of 403",)
INVALID = ("status of 422",)
PAGES: dict[str, Shown] = {
    "sign-in": Shown("/sign-in/", "h1", "sign-in", None),
    "sign-in-wrong": Shown("/sign-in/", "h1", who=None, act=sign_in_wrongly, problems=INVALID),
    "home": Shown("/", "#home-needs, main h1", "home"),
    "home-figures": Shown("/home/figures/", "h1", "home-figures"),
    "home-empty": Shown("/", "h1", is_empty=True),
    "jobs": Shown("/jobs/", "#job-list tbody tr", "jobs:list"),
    "jobs-chosen": Shown("/jobs/", "#job-list tbody tr", act=choose_rows),
    "jobs-empty": Shown("/jobs/", ".empty", is_empty=True),
    "jobs-none-match": Shown("/jobs/?q=nothing-has-this-name", ".empty"),
    "jobs-act": Shown("/jobs/", "#job-list tbody tr", "runs:bulk", act=choose_jobs_to_disable),
    "job-views": Shown("/job-views/", "h1", "job_views:list"),
    "job": Shown("/jobs/{job}/", "#run-rows tr", "jobs:job"),
    "job-run-with": Shown("/jobs/customer-report/", "#run-rows tr", act=open_dialog("run-with")),
    "job-script": Shown("/jobs/{job}/script/", "ol.script", "jobs:script"),
    "job-history": Shown("/jobs/{job}/history/", "h1", "jobs:history"),
    "job-settings": Shown("/jobs/{job}/settings/", "h1", "jobs:settings"),
    "job-use": Shown("/jobs/{job}/use/", "h1", "jobs:use"),
    "job-late": Shown("/jobs/sync-tls-certificates/", "#run-rows tr"),
    "editor": Shown("/jobs/{job}/edit/", ".cm-content", "jobs:edit"),
    "editor-log": Shown("/jobs/send-weekly-digest/edit/", ".cm-content", act=run_in_editor),
    "editor-settings": Shown("/jobs/customer-report/edit/", ".cm-content", act=open_groups, tallest=6400),
    "editor-new": Shown("/jobs/new/", ".cm-content", "jobs:new"),
    "editor-errors": Shown("/jobs/new/", ".cm-content", act=save_unnamed, problems=INVALID),
    "run-form": Shown("/runs/launch/customer-report/", "h1", "runs:launch"),
    "runs": Shown("/runs/", "#run-rows tr", "runs:list"),
    "runs-filtered": Shown("/runs/?status=failed&tag=billing", "#run-rows"),
    "runs-act": Shown("/runs/?status=failed", "#run-rows tr", "runs:bulk-runs", act=choose_runs_to_repeat),
    "runs-empty": Shown("/runs/", ".empty", is_empty=True),
    "runs-delete": Shown("/runs/delete/", "h1", "retention:many"),
    "runs-delete-count": Shown("/runs/delete/?status=failed&before={before}", "h1"),
    "run-running": Shown("/runs/{running}/", ".log-row", "runs:run"),
    "run-cancel": Shown("/runs/{running}/", ".log-row", act=open_dialog("cancel-run")),
    "run-queued": Shown("/runs/{queued}/", "h1"),
    "run-failed": Shown("/runs/{failed}/", ".log-row:has-text('KeyError')"),
    "run-find": Shown("/runs/{good}/", ".log-row", act=find_in_log),
    "run-retried": Shown("/runs/{retried}/", ".log-row"),
    "run-timed-out": Shown("/runs/{timed_out}/", ".log-row"),
    "run-killed": Shown("/runs/{killed}/", ".log-row"),
    "run-errored": Shown("/runs/{errored}/", "h1"),
    "run-cancelled": Shown("/runs/{cancelled}/", "h1"),
    "run-succeeded": Shown("/runs/{succeeded}/", ".log-row"),
    "run-script": Shown("/runs/{failed}/script/", "h1", "runs:script"),
    "run-details": Shown("/runs/{failed}/details/", "#run-timeline", "runs:details"),
    "run-keys": Shown("/runs/{succeeded}/", ".log-row", act=open_keys),
    "receipt": Shown("/runs/{report}/receipt/", "h1", "runs:receipt"),
    "compare": Shown("/runs/compare/?a={failed}", "h1", "runs:compare"),
    "compare-log": Shown("/runs/compare/log/?a={failed}&b={good}", "h1", "logs:compare"),
    "log-search": Shown("/runs/search/?q=booked", "h1", "logs:search"),
    "log-search-results": Shown("/runs/search/results/?q=reading", "h1", "logs:search-results"),
    "schedules": Shown("/schedules/", "tbody tr", "schedules:list"),
    "schedules-empty": Shown("/schedules/", "h1", is_empty=True),
    "schedule": Shown("/schedules/{schedule}/", "#ledger", "schedules:schedule"),
    "schedule-edit": Shown("/schedules/{schedule}/edit/", "form", "schedules:edit"),
    "schedule-new": Shown("/jobs/{job}/schedules/new/", "form", "schedules:new"),
    "schedule-delete": Shown("/schedules/{schedule}/delete/", "form", "schedules:delete"),
    "schedules-import": Shown("/schedules/import/", "form", "schedules:import"),
    "schedules-downtime": Shown("/schedules/downtime/", "h1", "schedules:downtime"),
    "week": Shown("/schedules/week/", "h1", "planning:week"),
    "calendars": Shown("/calendars/", "h1", "calendars:list"),
    "calendar": Shown("/calendars/office/", "h1", "calendars:calendar"),
    "calendar-new": Shown("/calendars/new/", "form", "calendars:new"),
    "calendar-edit": Shown("/calendars/office/edit/", "form", "calendars:edit"),
    "calendar-delete": Shown("/calendars/office/delete/", "form", "calendars:delete"),
    "incidents": Shown("/incidents/?state=all", "h1", "expectations:list"),
    "incidents-empty": Shown("/incidents/", "h1", is_empty=True),
    "checks": Shown("/checks/", "h1", "expectations:checks"),
    "checks-empty": Shown("/checks/", "h1", is_empty=True),
    "check": Shown("/checks/{check}/", "h1", "expectations:check"),
    "check-new": Shown("/checks/new/", "form", "expectations:check-new"),
    "check-edit": Shown("/checks/{check}/edit/", "form", "expectations:check-edit"),
    "check-delete": Shown("/checks/{check}/delete/", "form", "expectations:check-delete"),
    "secrets": Shown("/secrets/", "tbody tr", "secrets:list"),
    "secret-new": Shown("/secrets/", "h1", act=open_dialog("new-secret")),
    "secrets-empty": Shown("/secrets/", ".empty", is_empty=True),
    "variables": Shown("/variables/", "tbody tr", "variables:list"),
    "variables-empty": Shown("/variables/", ".empty", is_empty=True),
    "variable": Shown("/variables/shared/regions/", "h1", "variables:variable"),
    "variable-new": Shown("/variables/new/", ".cm-content", "variables:new"),
    "variable-edit": Shown("/variables/shared/regions/edit/", ".cm-content", "variables:edit"),
    "variable-delete": Shown("/variables/shared/regions/delete/", "form", "variables:delete"),
    "images": Shown("/images/", "#image-bash", "images:list"),
    "images-builds": Shown("/images/builds/", "tbody tr", "images:builds"),
    "images-disk": Shown("/images/disk/", "h1", "images:disk"),
    "image": Shown("/images/builds/{image}/", "main aside", "images:image"),
    "image-new": Shown("/images/builds/new/", "form", "images:image-new"),
    "image-edit": Shown("/images/builds/{image}/edit/", "form", "images:image-edit"),
    "registries": Shown("/images/registries/", "tbody tr", "images:registries"),
    "registry": Shown("/images/registries/{registry}/", "form", "images:registry"),
    "registry-new": Shown("/images/registries/new/", "form", "images:registry-new"),
    "profiles": Shown("/profiles/", ".cards section", "profiles:list"),
    "hosts": Shown("/hosts/", "main section", "hosts:list"),
    "people": Shown("/access/people/", "tbody tr", "access:people"),
    "person": Shown("/access/people/1/", "h1", "access:person"),
    "person-new": Shown("/access/people/new/", "form", "access:add"),
    "tokens": Shown("/access/", "h1", "access:tokens"),
    "account": Shown("/account/", "h1", "account:page"),
    "account-menu": Shown("/account/", "h1", act=open_menu("Account")),
    "password": Shown("/account/password/", "form", "account:password"),
    "palette": Shown("/jobs/", "#job-list tbody tr", act=open_palette),
    "palette-page": Shown("/palette/?q=run", "h1", "palette:page"),
    "keys": Shown("/jobs/", "#job-list tbody tr", act=open_keys),
    "seen-by-a-viewer": Shown("/jobs/{job}/", "#run-rows tr", who="chandra"),
    "help": Shown("/help/", "h1", "help:list"),
    "help-search": Shown("/help/?q=retry+failed", ".help-list li"),
    "help-document": Shown("/help/runs/", "article h2", "help:document"),
    "styleguide": Shown("/styleguide/", "#part-menus", "styleguide", tallest=5200),
    "not-found": Shown("/jobs/there-is-no-such-job/", "h1", problems=MISSING),
    "refused": Shown("/access/people/", "h1", who="chandra", problems=REFUSED),
}
