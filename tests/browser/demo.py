"""Fills a server with demo data: every page shows what a team sees after some weeks, with runs in each state."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.browser import demo_scripts
from tests.engine.server import Server, Template, manage

_FILL = "from tests.browser.demo_history import {0}; {0}()"
_CUSTOM_IMAGES = {
    "python-reports": {"base": "python", "python": ["requests==2.*", "openpyxl"], "system": ["libpq5"]},
    "shell-kit": {"base": "bash", "steps": ["echo 'made by the team' > /opt/made.txt"]},
}


@contextlib.contextmanager
def serve(template: Template, folder: Path, *, with_data: bool) -> Iterator[Server]:
    """A server with the demo data (or with nothing but an administrator) until the end of the block."""
    template.copy_to(folder)
    server = Server(folder, template.token, CRONIUM_MAX_CONCURRENT="12", CRONIUM_HOST_MEMORY_MB="32768")
    manage(server.env, "shell", "-c", _FILL.format("fill" if with_data else "clear"))
    server.start("serve", "--host-name", "build-1")
    try:
        yield server
    finally:
        server.stop()
        server.sweep()


def build(server: Server) -> dict[str, str]:
    """Launches the runs of the demo; returns the parts of the pages' addresses by name."""
    places: dict[str, str] = {}
    _make_settings(server)
    running = server.launch("rebuild-search-index")
    places["queued"] = server.launch("sync-tls-certificates")
    invoices = "nightly-invoice-import"
    first = {name: server.launch(slug) for name, slug in _ENDING.items()}
    good = server.launch(invoices)
    server.ended(good)
    server.call("PATCH", f"/jobs/{invoices}", {"script": demo_scripts.BAD_INVOICES})
    failed = [server.launch(invoices) for _ in range(2)]
    cancelled = server.launch("archive-old-orders")
    server.cancel(cancelled)
    for run in (*first.values(), *failed, cancelled):
        server.ended(run)
    with server.watch(running) as watch:
        watch.until_line("documents")
    places |= first | {"running": running, "good": good, "failed": failed[-1], "cancelled": cancelled, "job": invoices}
    places |= _make_schedules(server) | _make_checks(server) | _find_ids(server)
    return places


_ENDING = {
    "killed": "train-sales-forecast",
    "timed_out": "archive-old-orders",
    "errored": "resize-product-images",
    "retried": "reconcile-licence-seats",
    "succeeded": "back-up-customer-database",
    "digest": "send-weekly-digest",
    "report": "customer-report",
}


def _make_settings(server: Server) -> None:
    for name, text in (("erp_token", "Token of the ERP, from the finance team"), ("smtp_password", "")):
        server.call("PUT", f"/secrets/{name}", {"value": "for the demo only", "description": text})
    server.call("PATCH", "/queues/certificates", {"max_running": 0})
    server.call("PATCH", "/queues/default", {"max_running": 10})
    for day in ("2026-11-24", "2026-11-25", "2026-11-26"):
        server.call("PUT", "/variables/shared/last_day", {"value": day})
    server.call(
        "PUT", "/variables/shared/regions", {"value": [{"code": "eu", "rate": 0.19}, {"code": "us", "rate": 0}]}
    )
    server.call("PATCH", "/jobs/back-up-customer-database", {"secrets": ["erp_token"]})
    server.call("POST", "/registries", {"address": "registry.example.com", "username": "puller", "secret": "none"}, 201)
    for name, recipe in _CUSTOM_IMAGES.items():
        server.call("POST", "/custom-images", {"name": name, "recipe": recipe}, 201)
    server.call("POST", "/tokens", {"name": "deploys of the shop"}, 201)


def _make_schedules(server: Server) -> dict[str, str]:
    dates = ["2026-12-24 Christmas Eve", "2026-12-27 - 2026-12-31 Company holidays"]
    server.call("POST", "/calendars", {"name": "office", "weekdays": ["sat", "sun"], "dates": dates}, 201)
    rules = {
        "nightly-invoice-import": ("nightly", "30 2 * * *"),
        "back-up-customer-database": ("nightly", "0 3 * * *"),
        "currency-rates": ("every 15 minutes", "*/15 * * * *"),
        "send-weekly-digest": ("weekly", "0 8 * * mon"),
        "export-ledger-to-warehouse": ("hourly", "0 * * * *"),
        "clean-temporary-files": ("hourly", "0 * * * *"),
        "archive-old-orders": ("monthly", "0 4 1 * *"),
    }
    ids = {}
    for slug, (name, rule) in rules.items():
        body = {"name": name, "rule": rule, "timezone": "Europe/Berlin"}
        if slug == "send-weekly-digest":
            body |= {"calendar": "office", "on_closed": "next_working_day"}
        ids[slug] = server.call("POST", f"/jobs/{slug}/schedules", body, 201)["id"]
    manage(server.env, "shell", "-c", _FILL.format("fill_ledger"))
    return {"schedule": str(ids["nightly-invoice-import"])}


def _make_checks(server: Server) -> dict[str, str]:
    checks = {}
    for name, period in (("Backup of the mail server", 86400), ("Firewall rules", 3600), ("Clock of the till", 3600)):
        checks[name] = server.call("POST", "/checks", {"name": name, "period_seconds": period}, 201)
    for name, acts in (("Backup of the mail server", ("start", "0")), ("Firewall rules", ("0", "fail"))):
        for act in acts:
            address = checks[name]["ping_url"].rstrip("/") + "/" + act
            assert httpx.post(address, content=b"rsync: 4,118 files, 2 of them skipped\n").is_success
    return {"check": str(checks["Firewall rules"]["id"])}


def _find_ids(server: Server) -> dict[str, str]:
    registries = {row["address"]: row["id"] for row in server.call("GET", "/registries")["items"]}
    return {
        "image": str(1 + list(_CUSTOM_IMAGES).index("shell-kit")),
        "registry": str(registries["registry.example.com"]),
        "before": f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}",
    }


def build_images(server: Server) -> None:
    """Builds a custom image twice; the second build fails."""
    path = "/custom-images/shell-kit"
    broken = {"base": "bash", "steps": ["echo 'made by the team' > /opt/made.txt", "make -C /opt/tools"]}
    for recipe, state in ((None, "ready"), (broken, "failed")):
        if recipe:
            server.call("PATCH", path, {"recipe": recipe})
        number = server.call("POST", f"{path}/builds", {})["number"]
        server.until(lambda n=number, s=state: server.call("GET", f"{path}/versions/{n}")["status"] == s, 240)
