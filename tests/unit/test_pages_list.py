"""The list of pages has every page of the product, and docs/screens/ has a picture of each."""

import inspect
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

from tests.browser.pages import PAGES
from tests.engine.server import ROOT

SCREENS = ROOT / "docs" / "screens"

# Names of URLs that answer with a part of a page, a file or a redirect.
PARTS = """
    home-now home-figures-part palette:entries jobs:rows jobs:live jobs:runs jobs:durations jobs:numbered
    jobs:image-info jobs:try-key
    runs:input-fields runs:rows runs:count runs:job-options runs:advice runs:launch-form runs:launch-in-editor runs:try
    runs:pane runs:pane-state runs:live logs:last logs:search-part logs:compare-part images:presence images:test
    images:missing-module images:build-rows images:build-steps images:image-live images:version-sbom variables:download
    images:checks schedules:preview schedules:ledger schedules:of-job planning:hint calendars:preview
    expectations:of-job hosts:waiting hosts:warm hosts:unsafe
"""
# Names of URLs that a form sends to: they redirect, or show the page of the form again.
SENT_TO = """
    sign-out access:revoke access:switch access:reset-password access:end-sessions access:delete account:end-others
    account:end-one jobs:pin jobs:delete jobs:restore job_views:new job_views:rename job_views:delete job_views:default
    runs:cancel runs:rerun retention:one images:pull images:policy images:image-delete images:image-build
    images:build-cancel images:version-pin images:version-remove images:check-all images:check images:registry-delete
    images:override images:reset profiles:create profiles:edit profiles:delete secrets:create secrets:replace
    secrets:delete schedules:run-rest schedules:switch schedules:run-missed expectations:check-switch
    expectations:check-rotate hosts:drain hosts:delete hosts:queue
"""
# Pages that need more than the demo data: several ledger rows in one.
NOT_SHOWN = "schedules:single-times"
OTHER_ROOTS = ("admin/", "api/v1/", "ping/")


def list_names(patterns: list[URLPattern | URLResolver], prefix: str = "", path: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            space = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            yield from list_names(pattern.url_patterns, space, route)
        elif not route.startswith(OTHER_ROOTS) and not inspect.getmodule(pattern.callback).__name__.startswith("ninja"):
            yield f"{prefix}{pattern.name}"


def test_each_url_is_a_listed_page_or_named_as_none() -> None:
    names = set(list_names(get_resolver().url_patterns))
    listed = [shown.route for shown in PAGES.values() if shown.route]
    assert len(listed) == len(set(listed)), "two pages with one route: leave the route of the second empty"
    others = {*PARTS.split(), *SENT_TO.split(), *NOT_SHOWN.split()}
    unknown = names - set(listed) - others
    assert not unknown, "add them to tests/browser/pages.py, or to the lists of this file"
    assert not (set(listed) | others) - names, "no such URL"
    assert not set(listed) & others


def test_each_page_has_its_pictures() -> None:
    wanted = {f"{name}-{width}-{theme}.webp" for name in PAGES for width in (1440, 390) for theme in ("light", "dark")}
    found = {path.name for path in SCREENS.glob("*.webp")}
    assert found == wanted, "run make screens; remove the pictures of pages that are gone"
    assert sum(path.stat().st_size for path in SCREENS.glob("*.webp")) < 15_000_000
