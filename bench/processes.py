"""Memory and CPU time of the processes that an installation uses. Needs root for those of the containers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil

from bench.server import Server
from executor.naming import LABEL_INSTANCE

MB = 1024 * 1024
DAEMONS = ("dockerd", "containerd")
SHIM = "containerd-shim"


@dataclass(frozen=True)
class Processes:
    """Process ids by part; `containers`: the ids of the installation's running containers."""

    parts: dict[str, list[int]]
    containers: frozenset[str]


def find_processes(server: Server, engine: docker.APIClient) -> Processes:
    """The server with its children, the engine's daemons, and the server's containers with their shims."""
    instance = Path(server.environment["CRONIUM_DATA_DIR"], "instance_id").read_text().strip()
    ids = [item["Id"] for item in engine.containers(filters={"label": f"{LABEL_INSTANCE}={instance}"})]
    serve = psutil.Process(server.process.pid)
    pids = [int(row[1]) for each in ids for row in engine.top(each, ps_args="-o user,pid")["Processes"]]
    parts = {
        "serve": [serve.pid, *(child.pid for child in serve.children(recursive=True))],
        "daemons": [process.pid for process in psutil.process_iter() if process.name() in DAEMONS],
        "shims": find_shims(ids),
        "containers": pids,
    }
    return Processes(parts, frozenset(ids))


def find_shims(containers: Iterable[str]) -> list[int]:
    wanted = set(containers)
    processes = psutil.process_iter(["name", "cmdline"])
    return [
        process.pid
        for process in processes
        if (process.info["name"] or "").startswith(SHIM) and wanted.intersection(process.info["cmdline"] or ())
    ]


def read_pss(pids: Iterable[int]) -> float:
    """MB; a page that several processes share counts in equal shares. Raises psutil.AccessDenied without root."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids) / MB


def read_cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """User and system time of each process, with its ended children (runc is one of containerd's). Omits ended ones."""
    seconds = {}
    for pid in pids:
        try:
            seconds[pid] = sum(psutil.Process(pid).cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return seconds


def compute_cpu(before: dict[int, float], after: dict[int, float]) -> float:
    """The CPU seconds between two readings, of the processes that are in both."""
    return sum(seconds - before[pid] for pid, seconds in after.items() if pid in before)
