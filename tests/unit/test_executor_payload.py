"""The payload on standard input, in the shells of the images: executed exactly if complete, not at all if truncated."""

import shutil
import subprocess
from pathlib import Path

import pytest

from executor.run import payload
from executor.sandbox import bootstrap
from tests.fakes.specs import make_spec

_FOUND = {
    "dash": (shutil.which("dash"),),
    "bash": (shutil.which("bash"), "--posix"),
    "busybox": (shutil.which("busybox"), "sh"),
}
SHELLS = {name: [str(part) for part in command] for name, command in _FOUND.items() if command[0]}
END = "#cronium-payload-is-whole"
SCRIPTS = {
    "plain": "echo ran\n",
    "no newline at the end": "echo ran",
    "quotes": "echo ran '\"`$HOME`\" \\\\ $(date) !! ${x:-y}'",
    "blank lines": "\n\n  echo ran\n\n\n\t\n",
    "unicode": "echo ran 'grüße 🦊 \u2028 漢字'\n",
    "carriage returns": "echo ran\ncat <<E\n\r\nE\n",
    "a here-document": "cat <<'EOF'\n$ran \\\nEOF\necho ran\n",
    "the end mark": f"echo ran\n{END}\necho more\n{END}",
    "backslashes": "echo ran \\\n  two \\\\\n",
    "control characters": "echo ran '\x01\x1b[31m\x7f'",
    "long": "echo ran " + "x" * 1_000_000 + "\n",
    "many lines": "echo ran\n" * 40_000,
}
ENV = {"PLAIN": "x", "QUOTES": 'it\'s "$HOME" `id` \\ ', "LINES": "a\n\nb\n", "EMPTY": "", "MARK": END, "UNI": "ü🦊"}


def feed(shell: str, data: bytes, folder: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Runs BOOTSTRAP in `shell` with `folder` as /workspace and a fake `bash` that records its input."""
    command = bootstrap.BOOTSTRAP
    return subprocess.run(
        [*SHELLS[shell], "-c", command],
        input=data.replace(b"/workspace", bytes(folder)),
        capture_output=True,
        cwd=folder,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin", **more},
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose fake `bash` records its start, its environment and its standard input."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "bash"
    fake.write_text("#!/bin/sh\necho began\nenv -0 >env\ncat >stdin\n")
    fake.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_arrives_exactly(shell: str, name: str, folder: Path) -> None:
    script = SCRIPTS[name]
    done = feed(shell, payload.build_payload(make_spec(script=script)), folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"began\n", b"")
    assert (folder / "script.sh").read_bytes() == (script.removesuffix("\n") + "\n").encode()
    assert (folder / "stdin").read_bytes() == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_environment_arrives_exactly(shell: str, folder: Path) -> None:
    spec = make_spec(env=ENV)
    feed(shell, payload.build_payload(spec), folder)
    pairs = (folder / "env").read_bytes().decode().split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if pair)
    assert {name: found[name] for name in ENV} == ENV
    assert found["CRONIUM_EXECUTION_TOKEN"] == spec.token
    assert found["PYTHONUNBUFFERED"] == "1"
    assert "p" not in found


def test_a_jobs_variable_never_replaces_the_token() -> None:
    spec = make_spec(env={"CRONIUM_EXECUTION_TOKEN": "forged"})
    text = payload.build_payload(spec).decode()
    assert "forged" not in text


def places(whole: bytes) -> list[int]:
    """Positions to truncate: every byte at the ends of a small payload, and around everything that resembles its
    end."""
    cuts = {0, 1, len(whole) - 1, len(whole) // 2, *range(len(whole) - 160, len(whole))}
    for mark in (END.encode(), b"CRONIUM_", b"<<'", b"export ", b"exec ", b"\n"):
        at = whole.find(mark)
        while at >= 0:
            cuts |= {at, at + 1, at + len(mark)}
            at = whole.find(mark, at + 1)
    return sorted(cut for cut in cuts if 0 <= cut < len(whole))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_payload_cut_anywhere_runs_nothing(shell: str, folder: Path) -> None:
    script = f"echo ran\n{END}\nexec bash x\n{END}"
    whole = payload.build_payload(make_spec(script=script, env={"A": f"one\n{END}", "B": f"{END}'"}, token="t.o.k"))
    cuts = places(whole)
    assert len(cuts) > 100
    for cut in cuts[:: 1 if shell == "dash" else 5]:
        done = feed(shell, whole[:cut], folder)
        assert done.returncode != 0, whole[:cut]
        assert b"began" not in done.stdout, whole[:cut]
        assert not (folder / "env").exists()


@pytest.mark.parametrize(("language", "interpreter"), [("bash", "bash"), ("python", "python3"), ("node", "node")])
def test_each_language_has_its_file_and_interpreter(language: str, interpreter: str) -> None:
    text = payload.build_payload(make_spec(language=language)).decode()
    name = payload.FILES[language]
    assert f"set -- /workspace/{name} {interpreter}\n" in text


def test_the_delimiter_differs_each_time() -> None:
    spec = make_spec()
    assert payload.build_payload(spec) != payload.build_payload(spec)
