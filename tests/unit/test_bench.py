"""`python -m bench` checks its arguments and the docker program before it measures, and stores raw values."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import FOLDER, Results, describe_machine

ROOT = Path(__file__).resolve().parents[2]


def run_bench(tmp_path: Path, *names: str) -> str:
    """The error message with no programs on PATH."""
    result = subprocess.run(
        [sys.executable, "-m", "bench", *names],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (1, "")
    return result.stderr


@pytest.mark.parametrize("names", [(), ("first_line",), ("growth", "log_flow")])
def test_a_missing_docker_program_is_named_with_its_package(tmp_path: Path, names: tuple[str, ...]) -> None:
    # Debian 13 has the program in a separate package.
    message = run_bench(tmp_path, *names)
    assert "`docker`" in message
    assert "docker-cli" in message
    assert len(message.splitlines()) == 1


def test_an_unknown_benchmark_is_named(tmp_path: Path) -> None:
    assert run_bench(tmp_path, "growth", "nothing").startswith("bench: unknown benchmark 'nothing'")


class TestResults:
    @pytest.fixture
    def results(self) -> Results:
        return Results("example", {"CRONIUM_WARM": "0"}, machine={"cores": 2})

    def test_raw_values_and_the_ratio_of_each_pair_are_stored(self, results: Results, tmp_path: Path) -> None:
        ours, theirs = results.add("ours", [0.2, 0.3, 0.4]), results.add("theirs", [0.1, 0.1, 0.4], "s")
        results.add_ratios("ours / theirs", ours, theirs)
        results.add_fact("runs", 3)
        stored = json.loads(results.write(tmp_path).read_text())
        assert stored["benchmark"] == "example"
        assert stored["settings"] == {"CRONIUM_WARM": "0"}
        assert stored["series"]["ours"] == {"unit": "s", "values": [0.2, 0.3, 0.4]}
        assert stored["ratios"] == {"ours / theirs": [2.0, 3.0, 1.0]}
        assert stored["facts"] == {"runs": 3}
        assert stored["measured_at"].endswith("+00:00")

    def test_pairs_must_be_complete(self, results: Results) -> None:
        with pytest.raises(ValueError, match="shorter"):
            results.add_ratios("ours / theirs", [1.0, 2.0], [1.0])

    def test_the_median_and_the_spread_are_printed(self, results: Results, capsys: pytest.CaptureFixture[str]) -> None:
        results.add("ours", [0.2, 0.3, 9.0])
        results.add_ratios("ratio", [2.0, 3.0, 8.0], [2.0, 2.0, 2.0])
        first, second = capsys.readouterr().out.splitlines()
        assert first.split() == ["ours", "median", "0.300", "s", "p95", "9.000", "s", "n", "3"]
        assert second.split() == ["ratio", "median", "1.50", "p95", "4.00", "1.00", "to", "4.00"]

    def test_the_machine_is_described_without_its_name(self) -> None:
        facts = describe_machine()
        assert facts["cores"] == os.cpu_count()
        assert facts["kernel"]
        assert not [value for value in map(str, facts.values()) if value == socket.gethostname()]


def test_the_stored_results_name_the_machine_and_hold_raw_values() -> None:
    for path in FOLDER.glob("*.json"):
        stored = json.loads(path.read_text())
        assert stored["benchmark"] == path.stem
        assert {"cores", "kernel", "engine"} <= stored["machine"].keys()
        assert stored["series"] or stored["facts"]
