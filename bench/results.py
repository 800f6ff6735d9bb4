"""The raw values of a benchmark: printed as medians, and stored as JSON below bench/results/."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.errors import DockerException

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / "results"


def compute_percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def connect_engine() -> docker.APIClient:
    """The engine that the measured servers use."""
    address = os.environ.get("CRONIUM_DOCKER_HOST") or os.environ.get("DOCKER_HOST")
    return docker.APIClient(base_url=address, version="auto", timeout=120, num_pools=64)


def describe_machine() -> dict[str, Any]:
    """What decides the figures; no name of a host or user."""
    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    try:
        version = connect_engine().version()
        runtimes = {item["Name"]: item["Version"] for item in version.get("Components", ())}
        facts |= {"engine": version["Version"], "runtimes": runtimes}
    except DockerException:
        facts["engine"] = None
    return facts


def _read_commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip()


@dataclass
class Results:
    """`settings` of the measured servers; empty: the defaults. Series and ratios keep the order of measurement."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=describe_machine)
    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # single figures and texts

    def add(self, name: str, values: Iterable[float], unit: str = "s") -> list[float]:
        """Prints median, p95 and the number of values."""
        kept = list(values)
        self.series[name] = {"unit": unit, "values": [round(value, 6) for value in kept]}
        median, p95 = statistics.median(kept), compute_percentile(kept, 0.95)
        print(f"  {name:58} median {_format(median, unit)}   p95 {_format(p95, unit)}   n {len(kept)}")
        return kept

    def add_ratios(self, name: str, numerators: Sequence[float], denominators: Sequence[float]) -> None:
        """The ratio of each pair, measured one after the other."""
        kept = [a / b for a, b in zip(numerators, denominators, strict=True)]
        self.ratios[name] = [round(ratio, 4) for ratio in kept]
        median, p95 = statistics.median(kept), compute_percentile(kept, 0.95)
        print(f"  {name:58} median {median:7.2f}     p95 {p95:7.2f}     {min(kept):.2f} to {max(kept):.2f}")

    def add_fact(self, name: str, value: Any, text: str = "") -> None:
        """`text` is printed in place of the value."""
        self.facts[name] = value
        print(f"  {name:58} {text or value}")

    def write(self, folder: Path = FOLDER) -> Path:
        """Replaces the stored results of this benchmark."""
        content = {
            "benchmark": self.name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _read_commit(),
            "machine": self.machine,
            "settings": dict(self.settings),
            "series": self.series,
            "ratios": self.ratios,
            "facts": self.facts,
        }
        path = folder / f"{self.name}.json"
        folder.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1, sort_keys=False) + "\n")
        print(f"  raw values: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
        return path


def _format(value: float, unit: str) -> str:
    digits = 3 if unit == "s" and value < 100 else 1 if value >= 10 else 2
    return f"{value:9.{digits}f} {unit}".rstrip()
