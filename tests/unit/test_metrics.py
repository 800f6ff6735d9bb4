"""/metrics before the first event: a counter must be exported as 0, or `rate()` misses the first increment."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from cronium_admin.core import metrics
from cronium_admin.ops import metrics_endpoint
from cronium_admin.runs.models import Run
from cronium_admin.workers.hosts.models import Host
from tests.fresh_metrics import reset_metrics


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics_endpoint, "state_cache", metrics_endpoint.DatabaseStateCache())
    monkeypatch.setattr(metrics_endpoint.process, "get_current_worker", lambda: None)
    reset_metrics()
    yield
    reset_metrics()


def told() -> list[str]:
    return metrics_endpoint.render_metrics().decode().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        'cronium_lease_losses_total{host="",kind="host"} 0.0',
        'cronium_lease_losses_total{host="",kind="run"} 0.0',
        'cronium_reaped_total{host="",kind="container"} 0.0',
        'cronium_reaped_total{host="",kind="network"} 0.0',
        'cronium_adoptions_total{host=""} 0.0',
        'cronium_log_lines_total{host=""} 0.0',
        'cronium_log_bytes_total{host=""} 0.0',
        'cronium_nudges_dropped_total{host=""} 0.0',
        'cronium_wakeups_dropped_total{host=""} 0.0',
    ],
)
def test_a_counter_begins_at_zero(db: None, line: str) -> None:
    assert line in told()


def test_and_counts_from_there(db: None) -> None:
    metrics.REMOVED_OBJECTS.labels("network").inc()
    assert 'cronium_reaped_total{host="",kind="network"} 1.0' in told()


def test_an_empty_queue_is_told_while_it_is_served(db: None) -> None:
    Host.objects.create(name="east", heartbeat_at=timezone.now(), queues=["default", "night"])
    assert 'cronium_runs_live{host="",queue="night",status="queued"} 0.0' in told()


def test_a_run_that_waits_is_counted_once(run: Run) -> None:
    Host.objects.create(name="east", heartbeat_at=timezone.now())
    waiting = [line for line in told() if line.startswith("cronium_runs_live{")]
    assert waiting == ['cronium_runs_live{host="",queue="default",status="queued"} 1.0']


def test_a_worker_s_metrics_come_from_its_host_s_row_and_have_its_name(db: None) -> None:
    metrics.LOG_LINES.inc(7)
    metrics.RUN_PHASES.labels("queued").observe(0.2)
    Host.objects.create(name="east", heartbeat_at=timezone.now(), counters=metrics.take_snapshot(metrics.WORKER))
    reset_metrics()
    lines = told()
    assert 'cronium_log_lines_total{host="east"} 7.0' in lines
    assert 'cronium_log_lines_total{host=""} 0.0' in lines
    assert 'cronium_run_phase_seconds_bucket{host="east",le="0.1",phase="queued"} 0.0' in lines
    assert 'cronium_run_phase_seconds_bucket{host="east",le="+Inf",phase="queued"} 1.0' in lines
    assert 'cronium_run_phase_seconds_sum{host="east",phase="queued"} 0.2' in lines
    assert not [line for line in lines if "_created" in line]


def test_a_snapshot_in_the_form_of_an_older_version_is_skipped(db: None) -> None:
    older = {"cronium_log_lines_total": [{"labels": [], "value": 5}]}
    Host.objects.create(name="east", heartbeat_at=timezone.now(), counters=older)
    assert not [line for line in told() if line.startswith('cronium_log_lines_total{host="east"')]
