"""`python -m bench` checks its arguments and the docker program before it measures, and stores raw values."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.idle_pool import Window, compute_price, is_full
from bench.page_under_load import check_content, compare_p95s
from bench.processes import find_shims
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


TOKEN = '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
LIVE = '<span class="num" hx-get="/runs/count/" hx-trigger="every 4s">{}</span>'
PAGES = {"the list of one job's runs": f"<p>24</p>{LIVE.format(20)}", "the page of one run": TOKEN.format("a")}


class TestPageUnderLoad:
    def test_tokens_and_the_number_of_live_runs_may_differ(self) -> None:
        pages = {"the list of one job's runs": f"<p>24</p>{LIVE.format(0)}", "the page of one run": TOKEN.format("b")}
        check_content(PAGES, pages)

    @pytest.mark.parametrize("name", PAGES)
    def test_content_may_not_differ_between_the_states(self, name: str) -> None:
        with pytest.raises(AssertionError, match=f"{name} differs"):
            check_content(PAGES, {**PAGES, name: "<p>25</p>"})

    def test_the_p95_is_that_of_all_rounds(self) -> None:
        busy, idle = [[1.0] * 10, [4.0] * 10], [[2.0] * 10, [1.0] * 10]
        assert compare_p95s(busy, idle) == 2.0


class TestIdlePool:
    def test_the_price_is_what_the_pool_adds(self) -> None:
        on = Window(4, 1, 100.0, {"serve": 110.0, "shims": 8.0, "containers": 40.0, "daemons": 500.0}, {"serve": 3.0})
        off = Window(0, 0, 50.0, {"serve": 100.0, "shims": 0.0, "containers": 0.0, "daemons": 90.0}, {"serve": 1.0})
        price = compute_price(on, off)
        assert price.memory_mb == 58.0
        assert price.share == pytest.approx(0.01)

    @pytest.mark.parametrize(
        ("waiting", "building", "full"), [((1, 2), 0, True), ((1, 1), 0, False), ((1, 2), 1, False), ((), 0, False)]
    )
    def test_a_pool_is_full_when_it_has_what_is_planned(
        self, waiting: tuple[int, ...], building: int, full: bool
    ) -> None:
        shapes = [{"waiting": number, "target": target} for number, target in zip(waiting, (1, 2), strict=False)]
        assert is_full({"shapes": shapes, "building": building}) is full

    def test_only_shims_of_the_containers_are_counted(self, tmp_path: Path) -> None:
        shim = tmp_path / "containerd-shim-test"
        shim.symlink_to("/bin/sleep")
        started = [subprocess.Popen([shim, "60"]), subprocess.Popen([shim, "61"])]
        try:
            assert find_shims(["61"]) == [started[1].pid]
        finally:
            for process in started:
                process.kill()
                process.wait()
