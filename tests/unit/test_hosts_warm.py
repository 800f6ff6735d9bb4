"""The waiting sandboxes of a host on the Hosts page and over the API, as its worker reported them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from cronium_admin.accounts.models import User
from cronium_admin.workers.health.checks.waiting_sandboxes import check_waiting_sandboxes
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api

STEM = {"kind": "stem", "network": "isolated", "waiting": 1, "building": 0, "target": 1, "hits": 2, "misses": 0}
WHOLE = {
    **{"kind": "whole", "language": "python", "image": "cronium/<runner>:python", "cpu": 0.5, "memory_mb": 512},
    **{"pids": 256, "network": "none", "runtime": "runsc", "waiting": 1, "building": 1, "target": 2},
    **{"per_minute": 3.25, "hits": 1061, "misses": 9, "error": ""},
}
POOL: dict[str, Any] = {
    **{"limit": 4, "paused": "", "waiting": 2, "building": 1, "memory_bytes": 29_000_000},
    **{"hits": {"warm": 1061, "stem": 2}, "misses": {"none_waiting": 7, "sandbox_mismatch": 2, "gone": 0}},
    "shapes": [WHOLE, STEM],
}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


@pytest.fixture
def off(settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})


def report(pool: Any, **more: Any) -> Host:
    return Host.objects.create(**({"name": "east", "heartbeat_at": timezone.now(), "warm": pool} | more))


def read(client: Client, address: str = "/hosts/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def flatten(html: str) -> str:
    return " ".join(strip_tags(re.sub(r"</?(d[dt]|t[dhr]|br|span|p)\b", r" \g<0>", html)).split())


class TestPage:
    def test_each_shape_has_its_numbers(self, client: Client) -> None:
        report(POOL)
        page = flatten(read(client))
        assert "Sandboxes 2 of at most 4 wait, 1 being prepared · about 27.7\xa0MB".replace("\xa0", " ") in page
        assert "1,063 of 1,072 runs started in one" in page
        assert "Network and sidecar for any language, image and limits isolated 1 of 1 0 2 0" in page
        assert "0.5 CPU · 512 MB · 256 processes · no network · runsc 1 of 2 1 being prepared 3.2 1,061 9" in page
        assert "Built for the run instead: none was ready (7), settings changed (2)." in page
        assert "Paused" not in page

    def test_text_of_a_report_is_text(self, client: Client) -> None:
        shape = WHOLE | {"error": "no <b>image</b>", "failures": 3, "waiting": 0}
        report(POOL | {"shapes": [shape], "paused": "The host is <draining>."})
        html = read(client)
        assert "cronium/&lt;runner&gt;:python" in html
        assert "no &lt;b&gt;image&lt;/b&gt;" in html
        assert "The host is &lt;draining&gt;." in html
        assert "3 failed attempts" in html

    def test_a_stem_comes_first_and_the_order_does_not_follow_the_numbers(self, client: Client) -> None:
        names = []
        for waiting in (0, 9):
            Host.objects.all().delete()
            shapes = [WHOLE | {"image": "b"}, WHOLE | {"image": "a", "waiting": waiting}, STEM]
            report(POOL | {"shapes": shapes})
            names.append(re.findall(r'wrap-any">(a|b)</span>|(Network and sidecar)', read(client)))
        assert names[0] == names[1] == [("", "Network and sidecar"), ("a", ""), ("b", "")]

    def test_more_is_wanted_than_the_limit_allows(self, client: Client) -> None:
        report(
            POOL | {"shapes": [WHOLE | {"wanted": 2, "target": 0, "waiting": 1}, WHOLE | {"image": "b", "wanted": 3}]}
        )
        page = flatten(read(client))
        assert "1 of 2" in page
        assert "The host would keep 5 ready, and may keep 4: CRONIUM_WARM sets the limit." in page

    def test_a_delay_has_its_reason(self, client: Client) -> None:
        report(POOL | {"delayed": "the machine is <busy>"})
        assert "more later: the machine is &lt;busy&gt;" in read(client)

    def test_unknown_counts_are_no_zeros(self, client: Client) -> None:
        report(POOL | {"shapes": [{name: WHOLE[name] for name in WHOLE if name not in ("hits", "misses")}]})
        page = flatten(read(client))
        assert "1 of 2 1 being prepared 3.2 Built for the run instead" in page
        assert "Missed" not in page

    def test_nothing_used_yet(self, client: Client) -> None:
        report({"limit": 4, "shapes": []})
        page = flatten(read(client))
        assert "0 of at most 4 wait" in page
        assert "None yet. The host prepares them" in page
        assert "Counted since" not in page

    def test_none_is_kept_while_paused(self, client: Client) -> None:
        report({"limit": 4, "paused": "the host is draining", "shapes": []})
        page = flatten(read(client))
        assert "Paused the host is draining" in page
        assert "None is kept while they are paused." in page

    @pytest.mark.parametrize("pool", [{"limit": 0}, None])
    @pytest.mark.usefixtures("off")
    def test_off(self, client: Client, pool: Any) -> None:
        report(pool)
        html = read(client)
        assert "off (CRONIUM_WARM is 0)" in html
        assert "Waiting sandboxes</summary>" not in html
        assert "/hosts/warm/" not in html

    @pytest.mark.usefixtures("off")
    def test_off_only_where_runs_are_launched(self, client: Client) -> None:
        report(POOL)
        assert "Set it for every process alike" in read(client)

    @pytest.mark.parametrize(
        "pool", [None, [], "x", {}, {"limit": -1}, {"limit": 4, "shapes": [{"kind": "new"}]}, {"limit": 4, "hits": [1]}]
    )
    def test_the_report_of_another_version_is_unknown(self, client: Client, viewer: Api, pool: Any) -> None:
        report(pool)
        assert "not reported" in read(client)
        assert viewer.get("/hosts").json()["items"][0]["warm"] is None

    def test_none_waits_on_a_host_that_is_away(self, client: Client, viewer: Api) -> None:
        report(POOL, heartbeat_at=timezone.now() - timedelta(hours=1))
        html = read(client)
        assert "none wait while the host is away" in html
        assert "2 of at most 4" not in html
        assert viewer.get("/hosts").json()["items"][0]["warm"] is None

    def test_many_shapes_are_bounded(self, client: Client) -> None:
        report(POOL | {"shapes": [WHOLE | {"memory_mb": 100 + number} for number in range(70)]})
        html = read(client)
        assert html.count('<td role="cell" class="shape">') == 60
        assert "The API lists all 70." in html


class TestPoll:
    def test_it_returns_the_parts_of_the_hosts_that_the_page_has(
        self, client: Client, django_assert_num_queries: Any
    ) -> None:
        east, west = report(POOL), report(POOL, name="west")
        assert f"/hosts/warm/?host={east.pk}&amp;host={west.pk}" in read(client)
        with django_assert_num_queries(3):  # session, user, hosts
            parts = read(client, f"/hosts/warm/?host={west.pk}&host=99&host=x&host={'9' * 40}")
        assert f'id="warm-{west.pk}" class="num" hx-swap-oob="true"' in parts
        assert f'id="warm-shapes-{west.pk}" hx-swap-oob="true"' in parts
        assert parts.count("hx-swap-oob") == 2

    def test_a_pool_that_ended_meanwhile(self, client: Client) -> None:
        east, west = report(None), report({"limit": 0}, name="west")
        parts = read(client, f"/hosts/warm/?host={east.pk}&host={west.pk}")
        assert "The worker no longer reports them." in parts
        assert "They are off" in parts


def test_the_api_returns_the_report(viewer: Api) -> None:
    report(POOL)
    warm = viewer.get("/hosts").json()["items"][0]["warm"]
    assert {name: warm[name] for name in POOL if name != "shapes"} == {n: POOL[n] for n in POOL if n != "shapes"}
    assert {name: warm["shapes"][0][name] for name in WHOLE} == WHOLE
    assert warm["shapes"][1]["language"] == ""


class TestDoctor:
    @pytest.mark.parametrize(
        ("pool", "state", "words"),
        [
            (POOL, "ok", "2 of at most 4 wait"),
            (POOL | {"waiting": 0, "paused": "the host is draining"}, "ok", "paused: the host is draining"),
            ({"limit": 0}, "ok", "Off: CRONIUM_WARM is 0"),
            (
                POOL | {"shapes": [STEM, WHOLE | {"error": "There is no <image>.", "failures": 4}]},
                *(
                    "warning",
                    "The last 4 attempts to prepare one for cronium/<runner>:python failed: There is no <image>.",
                ),
            ),
            (
                POOL | {"shapes": [STEM | {"error": "No address.", "failures": 3}, WHOLE | {"error": "x"}]},
                *(
                    "warning",
                    "The last 3 attempts to prepare one for network isolated failed (and 1 more): No address.",
                ),
            ),
        ],
    )
    def test_the_row(self, db: None, pool: Any, state: str, words: str) -> None:
        report(pool)
        (row,) = check_waiting_sandboxes("east")
        assert (row.name, row.state) == ("waiting sandboxes", state)
        assert words in row.found
        assert bool(row.mend) == (state != "ok")

    def test_what_is_unknown_has_no_row(self, db: None) -> None:
        report(None)
        report(POOL, name="away", heartbeat_at=timezone.now() - timedelta(hours=1))
        assert [check_waiting_sandboxes(host) for host in ("east", "away", "none")] == [[], [], []]

    def test_a_database_that_is_away_is_reported_by_its_own_row(self, db: None) -> None:
        def fail(function: Any) -> Any:
            raise OperationalError("away")

        assert check_waiting_sandboxes("east", fail) == []
