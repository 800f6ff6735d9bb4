"""`python -m bench` checks its arguments and the docker program before it measures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
