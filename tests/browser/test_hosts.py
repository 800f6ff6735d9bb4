"""The Hosts page: draining by keyboard, and the texts about hosts that are away, unsafe or drained."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import logview
from tests.browser.test_pages import WIDTHS, examine
from tests.browser.visitor import Visitor
from tests.engine.server import Server, manage

# Beside the server's own host: a host that is away and has runs, and an unsafe host that is draining.
OTHERS = """
from datetime import timedelta
from django.utils import timezone
from cronium_admin.workers.hosts.models import Host
now = timezone.now()
Host.objects.create(name="attic", capacity=4, running=2, heartbeat_at=now - timedelta(hours=1), engine_version="20.10")
Host.objects.create(name="<b>vault", capacity=2, running=1, draining=True, heartbeat_at=now + timedelta(hours=1),
    unsafe=True, canary_at=now, canary=[{"name": "vsock", "held": False, "found": "a <socket> was opened"}],
    queues=["night"], cpus=2.0, memory_bytes=2**31, load=1.5, engine_error="The Docker Engine does not answer")
"""
GONE = (
    'from cronium_admin.workers.hosts.models import Host; Host.objects.filter(name__in=["attic", "<b>vault"]).delete()'
)


@pytest.fixture(scope="module")
def others(server: Server) -> Iterator[None]:
    """Hosts in these states, and a run that no host claims."""
    manage(server.env, "shell", "-c", OTHERS)
    run_id = server.run("true", queue="tpu")
    yield
    server.cancel(run_id)
    manage(server.env, "shell", "-c", GONE)


@pytest.fixture
def resumed(server: Server) -> Iterator[None]:
    yield
    server.call("PATCH", "/hosts/local", {"draining": False})


def tab_to(page: Page, target: Locator) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if target.evaluate("one => one === document.activeElement"):
            return
    expect(target).to_be_focused()


@pytest.mark.usefixtures("resumed")
def test_a_host_is_drained_and_resumed_by_keyboard(page: Page, server: Server) -> None:
    page.goto("/hosts/")
    tab_to(page, page.get_by_role("button", name="Drain local"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No other host takes runs of default")
    tab_to(page, dialog.get_by_role("button", name="Drain"))
    page.keyboard.press("Enter")
    section = page.get_by_role("region", name=re.compile("^local"))
    expect(section).to_contain_text("Draining")
    expect(section).to_contain_text("takes no runs")
    expect(page.get_by_text("Host local finishes its current runs and accepts no new ones.")).to_be_visible()

    run_id = server.run("echo at last")
    page.goto(f"/runs/{run_id}/")
    expect(page.locator("#run-reason")).to_contain_text("host local is draining and takes no new runs")
    expect(page.locator("#run-reason")).to_contain_text("1 run of the queue default waits")
    assert server.get(run_id)["status"] == "queued"

    page.goto("/hosts/")
    tab_to(page, page.get_by_role("button", name="Resume local"))
    page.keyboard.press("Space")
    expect(page.get_by_text("Host local accepts runs again.")).to_be_visible()
    expect(section).not_to_contain_text("Draining")
    page.goto(f"/runs/{run_id}/")
    logview.expect_state(page, "Succeeded")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("width", WIDTHS)
def test_hosts_away_unsafe_and_drained_are_told_in_words(visit: Callable[..., Visitor], width: str) -> None:
    page = visit(**WIDTHS[width]).page
    page.goto("/hosts/")
    away = page.get_by_role("region", name=re.compile("^attic"))
    expect(away).to_contain_text("Away")
    expect(away).to_contain_text("No heartbeat for 30 seconds")
    expect(away).to_contain_text("takes no runs")
    expect(away).to_contain_text("1 h ago")
    vault = page.get_by_role("region", name=re.compile("^<b>vault"))
    for words in ("Unsafe", "Draining: 1 run left", "a <socket> was opened", "The Docker Engine does not answer"):
        expect(vault).to_contain_text(words)
    expect(page.locator("main")).to_contain_text("1 run of the queue tpu waits")
    expect(page.locator("main")).to_contain_text("manage.py worker --queues tpu")
    examine(page)


# Twelve shapes with long names, a failing one, and a stem; `waiting` is the number of the first whole sandbox.
WARM = """
from django.utils import timezone
from datetime import timedelta
from cronium_admin.workers.hosts.models import Host
shape = {{"kind": "whole", "language": "python", "cpu": "0.50", "memory_mb": 512, "pids": 256, "log_limit_mb": 50,
    "network": "none", "waiting": 1, "target": 1, "wanted": 1, "per_minute": 61.3, "hits": 28110, "misses": 402}}
shapes = [shape | {{"image": "registry.example.org:5000/team/" + "long-" * 8 + chr(97 + at)}} for at in range(11)]
shapes[0]["waiting"], shapes[3]["error"], shapes[3]["failures"] = {waiting}, "There is no <image> here. " * 5, 3
stem = {{"kind": "stem", "network": "isolated", "waiting": 0, "building": 1, "target": 1, "hits": 3, "misses": 0}}
Host.objects.update_or_create(name="warm", defaults={{"heartbeat_at": timezone.now() + timedelta(hours=1), "warm": {{
    "limit": 9, "waiting": {waiting}, "memory_bytes": 9e7, "hits": {{"warm": 9}}, "misses": {{"none_waiting": 2}},
    "shapes": [stem, *shapes]}}}})
"""


@pytest.fixture
def warm(server: Server) -> Iterator[Callable[[int], str]]:
    """Reports a pool of a further host; the number is that of its first shape."""
    yield lambda waiting: manage(server.env, "shell", "-c", WARM.format(waiting=waiting))
    delete = 'from cronium_admin.workers.hosts.models import Host; Host.objects.filter(name="warm").delete()'
    manage(server.env, "shell", "-c", delete)


@pytest.mark.parametrize("width", WIDTHS)
def test_waiting_sandboxes_are_refreshed_and_stay_open(
    visit: Callable[..., Visitor], warm: Callable[[int], str], width: str
) -> None:
    warm(4)
    page = visit(**WIDTHS[width]).page
    page.goto("/hosts/")
    host = page.get_by_role("region", name=re.compile("^warm"))
    rows = host.get_by_role("table", name=re.compile("^Waiting sandboxes")).get_by_role("row")
    expect(rows).to_have_count(13)  # open, because a shape fails
    expect(rows.nth(1)).to_contain_text("Network and sidecar")
    expect(rows.nth(2)).to_contain_text("0.5 CPU")
    expect(rows.nth(5)).to_contain_text("3 failed attempts There is no <image> here.")
    expect(host).to_contain_text("4 of at most 9 wait")
    examine(page)
    warm(5)
    expect(host).to_contain_text("5 of at most 9 wait")
    expect(rows).to_have_count(13)
    host.get_by_text("Waiting sandboxes", exact=True).first.click()
    expect(rows.nth(1)).not_to_be_visible()
    warm(6)
    expect(host).to_contain_text("6 of at most 9 wait")
    expect(rows.nth(1)).not_to_be_visible()
