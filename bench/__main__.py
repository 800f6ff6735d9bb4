"""`python -m bench [NAME ...]` runs the named benchmarks in sequence; without a name, all of them."""

import shutil
import signal
import sys

from bench import (
    first_line,
    growth,
    idle_pool,
    log_depth,
    log_flow,
    many,
    page_under_load,
    recovery,
    scale,
    schedule_lag,
    schedule_times,
    throughput,
)

BENCHMARKS = {
    "first_line": first_line.measure,
    "log_flow": log_flow.measure,
    "log_depth": log_depth.measure,
    "throughput": throughput.measure,
    "many": many.measure,
    "page_under_load": page_under_load.measure,
    "idle_pool": idle_pool.measure,
    "recovery": recovery.measure,
    "growth": growth.measure,
    "scale": scale.measure,
    "schedule_times": schedule_times.measure,
    "schedule_lag": schedule_lag.measure,
}

COMPARED_WITH_DOCKER_RUN = {"first_line", "log_flow"}

# An interrupted benchmark stops its servers and removes their containers, as one that ends.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
names = sys.argv[1:] or list(BENCHMARKS)
for name in names:
    if name not in BENCHMARKS:
        sys.exit(f"bench: unknown benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}")
if COMPARED_WITH_DOCKER_RUN.intersection(names) and not shutil.which("docker"):
    sys.exit("bench: the program `docker` is missing; install it (Debian 13: apt-get install docker-cli) and retry.")
for name in names:
    BENCHMARKS[name]()
