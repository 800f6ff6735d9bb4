"""The hostile scripts: each tries all its attacks and prints the results as one JSON object on a line."""

from pathlib import Path


def read(name: str) -> str:
    """The text of a probe, as a job's script."""
    return (Path(__file__).parent / f"{name}.py").read_text()
