"""The hostile scripts themselves: each tries all it can and prints what it got, as one JSON object on a line."""

from pathlib import Path


def read(name: str) -> str:
    """One of them, as a job's script."""
    return (Path(__file__).parent / f"{name}.py").read_text()
