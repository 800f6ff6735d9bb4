"""deploy/grafana/cronium.json queries metrics that /metrics exports, and all of them; its panels do not overlap."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from cronium_admin.core import metrics
from cronium_admin.ops import metrics_endpoint
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.hosts.models import Host
from tests.fresh_metrics import reset_metrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "cronium.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", ())]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
# A machine that scrapes adds these; Grafana knows the others.
SCRAPED = {"instance", "job"}
BUILT_IN = {"__rate_interval"}
PHASES = {"queued", "sandbox", "first_log"}
# The promised panels for operators, and the metric of each.
PROMISED = {
    "runs by status and reason": "cronium_runs_total",
    "queue wait and start latency by phase": "cronium_run_phase_seconds_bucket",
    "running": "cronium_host_running",
    "lease losses": "cronium_lease_losses_total",
    "adoptions": "cronium_adoptions_total",
    "reaped objects": "cronium_reaped_total",
    "log lines": "cronium_log_lines_total",
    "log bytes": "cronium_log_bytes_total",
    "dropped notifications": "cronium_nudges_dropped_total",
    "kind of start": "cronium_warm_starts_total",
    "reasons of cold starts": "cronium_warm_misses_total",
    "sandboxes that wait": "cronium_warm_waiting",
    "sandboxes prepared in advance": "cronium_warm_builds_total",
    "API latency": "cronium_http_request_seconds_bucket",
}


@pytest.fixture
def offered(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[str]]]:
    """The labels by name of sample, from /metrics after every metric has a value."""
    ended = Run.objects.get(pk=run.pk)
    ended.pk, ended.number, ended.status, ended.reason = None, run.number + 1, Status.SUCCEEDED, "exit_code"
    ended.save()
    facts = {"cpus": 2.0, "load": 0.5, "memory_bytes": 10, "memory_used_bytes": 5}
    Host.objects.create(name="east", heartbeat_at=timezone.now(), **facts)
    reset_metrics()
    for metric in vars(metrics).values():
        if isinstance(metric, Histogram | Counter):
            child: Any = metric.labels(*("x" for _ in metric._labelnames)) if metric._labelnames else metric
            child.observe(0.1) if isinstance(child, Histogram) else child.inc()
    monkeypatch.setattr(metrics_endpoint, "state_cache", metrics_endpoint.DatabaseStateCache())
    monkeypatch.setattr(metrics_endpoint.process, "get_current_worker", lambda: None)
    families = text_string_to_metric_families(metrics_endpoint.render_metrics().decode())
    found: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, set()).update(sample.labels)
    yield found
    reset_metrics()


def names(expression: str) -> list[tuple[str, str]]:
    """The metrics of an expression with the labels in its braces."""
    return re.findall(r"\b((?:cronium|process)_\w+)(?:\{([^}]*)\})?", expression)


def labels(selector: str) -> set[str]:
    return set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)))


def grouped(expression: str) -> set[str]:
    found = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for group in found for label in group.split(",")}


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_expression_names_metrics_and_labels_that_are_there(
    title: str, target: dict[str, Any], offered: dict[str, set[str]]
) -> None:
    expression = target["expr"]
    asked = names(expression)
    assert asked, f"{title}: no metric of ours in {expression}"
    for name, selector in asked:
        assert name in offered, f"{title}: nothing is called {name}"
        assert labels(selector) <= offered[name] | SCRAPED, f"{title}: {name} has no such label"
    together = set.intersection(*(offered[name] for name, _ in asked)) | SCRAPED
    assert grouped(expression) <= together, f"{title}: grouped by what is not there"
    told = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
    assert told <= grouped(expression), f"{title}: the legend names a label that the expression drops"


@pytest.mark.parametrize("expression", [target["expr"] for _, target in TARGETS])
def test_an_expression_is_whole(expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)
    assert set(re.findall(r"\$(\w+)", expression)) <= VARIABLES.keys() | BUILT_IN
    assert set(re.findall(r'phase!?="(\w+)"', expression)) <= PHASES
    assert set(re.findall(r'status="(\w+)"', expression)) <= set(Status)
    for name, _ in names(expression):
        is_counted = name.endswith(("_total", "_bucket", "_sum", "_count"))
        assert is_counted == bool(re.search(rf"(?:rate|increase)\({name}\b", expression)), f"{name}: rate of a counter"


def test_what_was_promised_is_offered_and_on_the_dashboard(offered: dict[str, set[str]]) -> None:
    shown = {name for _, target in TARGETS for name, _ in names(target["expr"])}
    assert set(PROMISED.values()) <= offered.keys()
    assert set(PROMISED.values()) <= shown
    assert offered["cronium_runs_total"] == {"status", "reason"}
    ours = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in offered if name.startswith("cronium_")}
    assert ours == {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}


def test_the_variables_ask_for_what_is_there(offered: dict[str, set[str]]) -> None:
    for variable in VARIABLES.values():
        if variable["type"] == "query":
            query = variable["query"]["query"]
            ((name, selector),) = names(query)
            label = re.search(r",\s*(\w+)\)$", query)
            assert label
            assert {label[1], *labels(selector)} <= offered[name]


def test_each_panel_has_its_own_id_title_and_the_chosen_data_source() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] for panel in PANELS)
    assert VARIABLES["DS_PROMETHEUS"]["type"] == "datasource"
    asking = [panel for panel in PANELS if panel["type"] != "row"]
    for one in [*asking, *(target for _, target in TARGETS)]:
        assert one["datasource"] == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    for panel in asking:
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0


def test_no_two_panels_overlap() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in PANELS]
    for title, at in places:
        assert at["x"] >= 0 < at["w"], title
        assert at["x"] + at["w"] <= 24, title
    for (one, a), (other, b) in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart |= a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, f"{one} lies on {other}"


def test_a_state_has_a_word_and_not_only_a_colour() -> None:
    (panel,) = [panel for panel in PANELS if panel["type"] == "state-timeline"]
    mapped = [
        property["value"][0]["options"] for one in panel["fieldConfig"]["overrides"] for property in one["properties"]
    ]
    assert len(mapped) == len(panel["targets"])
    assert all(options[value]["text"] for options in mapped for value in ("0", "1"))
