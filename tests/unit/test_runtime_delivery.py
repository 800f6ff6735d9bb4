"""The helpers are part of the payload: they work in any image with a shell, and precede those of the image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cronium_admin.runtime_api.helpers import HELPER_FILES, load_helpers
from executor.run import payload
from executor.sandbox import bootstrap
from tests.fakes.specs import make_spec

SCRIPTS = {
    "bash": "type -t cronium_input cronium_set_variable",
    "python": "import cronium; print(cronium.__file__, cronium.aio.input.__name__)",
    "node": "console.log(require.resolve('cronium'), typeof require('cronium').setVariable)",
}


@pytest.mark.parametrize("language", SCRIPTS)
@pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"], ["bash", "--posix"]], ids=" ".join)
def test_they_arrive_exactly_and_are_found_first(language: str, shell: list[str], tmp_path: Path) -> None:
    if not shutil.which(shell[0]) or not shutil.which(payload.INTERPRETERS[language]):
        pytest.skip("not on this machine")
    decoy = tmp_path / "decoy"
    (decoy / "cronium").mkdir(parents=True)
    (decoy / "cronium" / "__init__.py").write_text("raise SystemExit('the old one')")
    (decoy / "cronium.js").write_text("throw new Error('the old one')")
    env = {"PYTHONPATH": str(decoy), "NODE_PATH": str(decoy)}
    spec = make_spec(language=language, script=SCRIPTS[language], helpers=load_helpers(), env=env)
    data = payload.build_payload(spec).replace(payload.HELPERS.encode(), bytes(tmp_path / "h"))
    done = subprocess.run(
        [*shell, "-c", bootstrap.BOOTSTRAP],
        input=data.replace(b"/workspace", bytes(tmp_path)),
        capture_output=True,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split()[0] in (
        "function",
        f"{tmp_path}/h/cronium.py",
        f"{tmp_path}/h/cronium.js",
    )
    for name, source in HELPER_FILES.items():
        assert (tmp_path / "h" / name).read_bytes() == (Path("images") / source).read_bytes()


def test_an_image_that_can_not_take_them_runs_its_script_all_the_same(tmp_path: Path) -> None:
    spec = make_spec(script="echo ran", helpers=load_helpers())
    data = payload.build_payload(spec).replace(payload.HELPERS.encode(), b"/proc/nowhere")
    done = subprocess.run(
        ["sh", "-c", bootstrap.BOOTSTRAP], input=data.replace(b"/workspace", bytes(tmp_path)), capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b"")
