"""Sets the metrics of this process to zero, as in a new process."""

from prometheus_client import Counter, Gauge, Histogram

from cronium_admin.core import metrics


def reset_metrics() -> None:
    for metric in vars(metrics).values():
        if isinstance(metric, Histogram) and metric._labelnames:
            metric.clear()
        elif isinstance(metric, Histogram):
            metric._metric_init()
        elif isinstance(metric, Gauge):
            for gauge in metric._metrics.values() if metric._labelnames else [metric]:
                gauge.set(0)
        elif isinstance(metric, Counter):
            for counter in metric._metrics.values() if metric._labelnames else [metric]:
                counter.reset()
