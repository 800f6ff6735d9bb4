"""The check of names and words refuses riddles and docstrings that repeat a name, and accepts contracts."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_words.py"


@pytest.fixture
def checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_words", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


@pytest.mark.parametrize(
    ("docstring", "is_refused"),
    [
        ("Deletes the runs.", True),
        ("Delete all runs of this job.", True),
        ("Deletes the runs; returns how many. Live runs are not changed.", False),
        ("Raises ApiError (409) for a live run.", False),
    ],
)
def test_a_docstring_must_add_to_the_name(
    checker: ModuleType, tmp_path: Path, docstring: str, is_refused: bool
) -> None:
    path = tmp_path / "a.py"
    path.write_text(f'def delete_runs(job: Job) -> int:\n    """{docstring}"""\n    return 1\n')
    assert list(checker.find_repeating_docstrings(path)) == (["a.py:1 delete_runs"] if is_refused else [])


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("The run is taken " + "up again by its host.", True),
        ("A thread that lives " + "on after the call.", True),
        ("The run is adopted by its host's new process.", False),
        ("It depends on the host, as in `based on`.", False),
    ],
)
def test_a_riddle_is_refused(checker: ModuleType, tmp_path: Path, line: str, is_refused: bool) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"# Title\n{line}\n")
    assert bool(list(checker.find_riddles(path))) == is_refused
