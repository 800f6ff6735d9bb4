"""Real-world scripts: Windows line ends, byte order marks, options on the first line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executor.run import payload
from executor.run.script import Shebang, find_problem, is_module, make_file_text, parse_shebang
from executor.sandbox import bootstrap
from tests.fakes.specs import make_spec

SHEBANGS = {
    "#!/bin/bash -e": Shebang("/bin/bash", ("-e",)),
    "#! /bin/bash  -eu -o pipefail ": Shebang("/bin/bash", ("-eu", "-o", "pipefail")),
    "#!/usr/bin/env -S bash -euo pipefail": Shebang("bash", ("-euo", "pipefail")),
    "#!/usr/bin/env -Sbash -e": Shebang("bash", ("-e",)),
    "#!/usr/bin/env --split-string='bash -e'": Shebang("bash", ("-e",)),
    "#!/usr/bin/env python3 -u": Shebang("python3", ("-u",)),
    "#!/usr/bin/env -S A=1 -u B -i python3 -X 'utf8'": Shebang("python3", ("-X", "utf8"), ("A=1", "-u", "B", "-i")),
    "\ufeff#!/bin/bash -e\r\necho": Shebang("/bin/bash", ("-e",)),
    "#!/bin/sh '": Shebang("/bin/sh", ("'",)),
    "#!": None,
    "#!/usr/bin/env": None,
    " #!/bin/bash": None,
    "echo '#!/bin/bash'": None,
    "": None,
}


@pytest.mark.parametrize("script", SHEBANGS)
def test_a_first_line_is_read(script: str) -> None:
    assert parse_shebang(script) == SHEBANGS[script]


@pytest.mark.parametrize(
    ("language", "first", "other"),
    [
        ("bash", "#!/usr/bin/env python3", "python"),
        ("bash", "#!/usr/bin/nodejs", "node"),
        ("python", "#!/bin/bash -e", "bash"),
        ("python", "#!/bin/sh", "bash"),
        ("node", "#!/usr/bin/python3.12", "python"),
        ("bash", "#!/bin/bash", ""),
        ("bash", "#!/bin/sh -e", ""),
        ("bash", "#!/usr/bin/perl -w", ""),
        ("python", "#!/usr/bin/env -S python3 -I", ""),
        ("python", "#!/opt/venv/bin/python3.11", ""),
        ("node", "#!/usr/bin/env node --no-warnings", ""),
        ("node", "// #!/bin/bash", ""),
    ],
)
def test_a_script_of_another_language_is_told(language: str, first: str, other: str) -> None:
    problem = find_problem(language, first + "\nx")
    assert (problem is None) if not other else (problem and f"Change the language to {other}" in problem)


HERE = "cat <<'EOF'\nGET / HTTP/1.1\r\nHost: a\r\n\r\nEOF\n"
TEXTS = {
    "windows": ("echo a\r\necho b\r\n", "echo a\necho b\n"),
    "windows, no end": ("echo a\r\necho b", "echo a\necho b"),
    "windows, half an end": ("echo a\r\necho b\r", "echo a\necho b"),
    "windows, a here-document": ("cat <<EOF\r\na\r\nEOF\r\n", "cat <<EOF\na\nEOF\n"),
    "windows, twice": ("echo a\r\r\necho b\r\r\n", "echo a\necho b\n"),
    "mostly windows": ("echo a\r\necho b\necho c\r\n", "echo a\necho b\necho c\n"),
    "one line": ("echo a\r\n", "echo a\n"),
    "byte order mark": ("\ufeffecho a\n", "echo a\n"),
    "both": ("\ufeff#!/bin/bash -e\r\necho a\r\n", "#!/bin/bash -e\necho a\n"),
    "a mark within": ("echo '\ufeff'\n", "echo '\ufeff'\n"),
    "mixed": ("echo a\necho b\r\necho c\n", "echo a\necho b\necho c\n"),
    "mixed, a here-document": (HERE, HERE),
    "mixed, its end with one": (HERE.replace("EOF\n", "EOF\r\n").replace("'EOF'\r\n", "'EOF'\n"), HERE),
    "mixed, after it": (HERE + "echo b\r\n", HERE + "echo b\n"),
    "mixed, tabs": ("cat <<-E\n\ta\r\n\tE\r\necho\r\n:\n:\n", "cat <<-E\n\ta\r\n\tE\necho\n:\n:\n"),
    "mixed, two": (
        'cat <<A; cat <<"B"\na\r\nA\nb\r\nB\necho\r\n:\n',
        'cat <<A; cat <<"B"\na\r\nA\nb\r\nB\necho\n:\n',
    ),
    "mixed, no here-document": (
        "cat <<<EOF\r\n: $((1<<N))\r\necho\r\n:\n:\n:\n:\n",
        "cat <<<EOF\n: $((1<<N))\necho\n:\n:\n:\n:\n",
    ),
    "mixed, quoted": (":\nprintf 'a\r\nb\r\n'\necho \"it's\"\r\n:\n", ":\nprintf 'a\r\nb\r\n'\necho \"it's\"\n:\n"),
    "mixed, a comment": (": # don't\r\necho\r\n:\n:\n", ": # don't\necho\n:\n:\n"),
    "within a line": ("printf 'a\rb'\n", "printf 'a\rb'\n"),
    "carriage returns alone": ("#!/bin/bash -e\rfalse\recho b\r", "#!/bin/bash -e\nfalse\necho b\n"),
    "carriage returns alone, quoted": ("echo 'a\rb'\recho c", "echo 'a\nb'\necho c"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_bash_gets_lines_that_it_can_read(name: str) -> None:
    stored, delivered = TEXTS[name]
    assert make_file_text("bash", stored) == delivered


@pytest.mark.parametrize(
    ("stored", "delivered"),
    [
        ("\ufeffprint(1)\r\n", "print(1)\n"),
        ("# coding: latin-1\rprint('é')\r", "# coding: utf-8\nprint('é')\n"),
        ("# coding: latin-1\rprint(1)\n", "# coding: utf-8\nprint(1)\n"),
        ("# -*- coding: latin-1 -*-\r\nprint('é')", "# -*- coding: utf-8 -*-\nprint('é')"),
        (
            "#!/usr/bin/python3\n# vim: set fileencoding=cp1252 :\n",
            "#!/usr/bin/python3\n# vim: set fileencoding=utf-8 :\n",
        ),
        ("import x\n# coding: latin-1\n", "import x\n# coding: latin-1\n"),
        ("\n\n# coding: latin-1\n", "\n\n# coding: latin-1\n"),
    ],
)
def test_python_gets_a_declaration_that_is_true(stored: str, delivered: str) -> None:
    assert make_file_text("python", stored) == delivered


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('import fs from "fs";', True),
        ('// a\rimport fs from "fs";\r', True),
        ('import { a,\n  b } from "x"', True),
        ('import {\n  a\n} from "x"', True),
        ('import "x"', True),
        ("import * as x from 'x'", True),
        ("export const a = 1", True),
        ("const a = await fetch('x')", True),
        ("await main()", True),
        ("const fs = require('fs')", False),
        ("(async () => { await 1 })()", False),
        ("async function a() {\n  await 1\n}", False),
        ("const x = import('x')", False),
        ("important = 1", False),
    ],
)
def test_a_module_of_node_is_told(script: str, expected: bool) -> None:
    assert is_module(script) is expected


def start(script: str, language: str, folder: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the payload with `sh`, with `folder` as /workspace."""
    data = payload.build_payload(make_spec(language=language, script=script)).replace(b"/workspace", bytes(folder))
    path = f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", bootstrap.BOOTSTRAP],
        input=data,
        capture_output=True,
        cwd="/",
        env={"PATH": path, **more},
        timeout=60,
    )


NODE = pytest.mark.skipif(not shutil.which("node"), reason="no node")
FLAGS = "import sys; print(sys.flags.isolated, sys.flags.ignore_environment, sys.flags.dont_write_bytecode)"
RUNS = [
    ("bash", "#!/bin/bash -e\nfalse\necho on\n", 1, b""),
    ("bash", "#!/bin/bash -e\r\nfalse\r\necho on\r\n", 1, b""),
    ("bash", "\ufeff#!/usr/bin/env -S bash -euo pipefail\nfalse | true\necho on\n", 1, b""),
    ("bash", "#!/usr/bin/env bash\nfalse\necho on\n", 0, b"on\n"),
    ("bash", "#!/bin/sh -e\n[[ a == a ]]\nfalse\necho on\n", 1, b""),
    ("bash", "#!/no/such/bin/bash -e\nfalse\necho on\n", 1, b""),
    ("bash", "#!/usr/bin/env -S A='b c' bash\necho $A\n", 0, b"b c\n"),
    ("bash", "#!/usr/bin/awk -f\nBEGIN { print 1 + 1 }\n", 0, b"2\n"),
    ("bash", "#!/bin/cat\nno code\n", 0, b"#!/bin/cat\nno code\n"),
    ("python", "#!/usr/bin/python3 -I\n" + FLAGS, 0, b"1 1 0\n"),
    ("python", "#!/usr/bin/env python3 -BE\r\n" + FLAGS, 0, b"0 1 1\n"),
    ("python", "# coding: latin-1\nprint(len('é'))", 0, b"1\n"),
    pytest.param("node", "#!/bin/node --no-deprecation\nconsole.log(process.noDeprecation)", 0, b"true\n", marks=NODE),
    pytest.param("node", "\ufeff#!/usr/bin/env node\r\nconsole.log(`a\r\nb`.length)", 0, b"3\n", marks=NODE),
]  # fmt: skip


@pytest.mark.parametrize(("language", "script", "code", "said"), RUNS)
def test_what_the_first_line_asks_for_counts(
    language: str, script: str, code: int, said: bytes, tmp_path: Path
) -> None:
    done = start(script, language, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, said, b"")


@pytest.mark.parametrize(
    ("language", "first", "name"),
    [
        ("bash", "#!/usr/bin/env -S no-such-shell -e", "no-such-shell"),
        ("bash", "#!/opt/ruby's/bin/ruby-none", "/opt/rubys/bin/ruby-none"),
        ("python", "#!/usr/bin/python2.9", "/usr/bin/python2.9"),
    ],
)
def test_an_interpreter_that_the_image_lacks_is_named(language: str, first: str, name: str, tmp_path: Path) -> None:
    first = first.replace("ruby's", "rubys")
    done = start(first + "\necho on", language, tmp_path)
    assert (done.returncode, done.stdout) == (payload.NO_INTERPRETER, b"")
    assert f"requires {name}, which this image does not have" in done.stderr.decode()


_PYTHON = """#!/usr/bin/env python3
import os, sys
print("again", sys.argv[1]) if sys.argv[1:] else os.execv(NAME, [NAME, "now"])
"""
_NODE = """#!/usr/bin/env node
if (process.argv[2]) console.log("again", process.argv[2]);
else require("child_process").execFileSync(NAME, ["now"], { stdio: "inherit" });
"""
_OPTIONS = """#!/bin/bash -e
[ -z "${1-}" ] || { false; echo on; }
"$0" now && echo on || echo "again now"
"""
AGAIN = {
    "bash": ("bash", '[ "$1" ] && echo "again $1" || exec "$0" now'),
    "bash, options": ("bash", _OPTIONS),
    "bash, another folder": ("bash", 'cd /tmp; [ "$1" ] && echo "again $1" || "${BASH_SOURCE[0]}" now'),
    "bash, windows": ("bash", '#!/bin/bash\r\n[ "$1" ] && echo "again $1" || exec "$0" now\r\n'),
    "python": ("python", _PYTHON.replace("NAME", "__file__")),
    "python, windows": ("python", _PYTHON.replace("NAME", "sys.argv[0]").replace("\n", "\r\n")),
    "node": ("node", _NODE.replace("NAME", "__filename")),
    "node, windows": ("node", _NODE.replace("NAME", "require.main.filename").replace("\n", "\r\n")),
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_script_calls_itself(name: str, tmp_path: Path) -> None:
    language, script = AGAIN[name]
    if not shutil.which(payload.INTERPRETERS[language]):
        pytest.skip("not on this machine")
    done = start(script, language, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"again now\n", b"")


MODULE = """import { input } from "cronium";
import cronium from "cronium";
console.log(typeof input, cronium.input === input);
await 1;
"""


def _detects_modules(folder: Path) -> bool:
    """True if this machine's node detects ES modules in .js files; 18.20 of Debian 12 does not."""
    probe = folder / "probe.js"
    probe.write_text("await 1;\n")
    return subprocess.run(["node", str(probe)], capture_output=True, check=False).returncode == 0


@NODE
@pytest.mark.parametrize("version", ["", "v18.20.4", "v20.9.0"])
def test_a_module_of_node_runs_and_has_the_helper(version: str, tmp_path: Path) -> None:
    from cronium_admin.runtime_api.helpers import load_helpers

    if version:  # fakes an older version
        (tmp_path / "bin").mkdir()
        real = shutil.which("node")
        (tmp_path / "bin" / "node").write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo {version} || exec {real} "$@"\n'
        )
        (tmp_path / "bin" / "node").chmod(0o755)
    spec = make_spec(language="node", script=MODULE, helpers=load_helpers())
    data = (
        payload.build_payload(spec)
        .replace(b"/workspace", bytes(tmp_path))
        .replace(b"/tmp/.cronium", bytes(tmp_path / "h"))
    )
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", bootstrap.BOOTSTRAP], input=data, capture_output=True, env=env, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"function true\n"), done.stderr
    is_renamed = (tmp_path / "script.mjs").exists()
    assert is_renamed != (tmp_path / "script.js").exists()
    assert is_renamed == (bool(version) or not _detects_modules(tmp_path))


def test_a_common_script_of_node_finds_an_empty_workspace(tmp_path: Path) -> None:
    from cronium_admin.runtime_api.helpers import load_helpers

    spec = make_spec(language="node", script="require('cronium')", helpers=load_helpers())
    data = (
        payload.build_payload(spec)
        .replace(b"/workspace", bytes(tmp_path))
        .replace(b"/tmp/.cronium", bytes(tmp_path / "h"))
    )
    subprocess.run(["sh", "-c", bootstrap.BOOTSTRAP], input=data, env={"PATH": os.environ["PATH"]}, timeout=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h", "script.js"]


@pytest.mark.parametrize(
    ("outside", "said"),
    [({}, b"C.UTF-8 1"), ({"LANG": "C"}, b"C 2"), ({"LC_ALL": "C.UTF-8"}, b" 1"), ({"LANG": ""}, b"C.UTF-8 1")],
)
def test_text_is_utf_8_unless_the_image_says_otherwise(outside: dict[str, str], said: bytes, tmp_path: Path) -> None:
    assert start('s=é; echo "$LANG ${#s}"', "bash", tmp_path, **outside).stdout == said + b"\n"


def test_a_jobs_locale_and_names_of_one_letter_are_its_own(tmp_path: Path) -> None:
    spec = make_spec(script='s=é; echo "$LANG ${#s}$p$i"', env={"LANG": "C", "p": "x", "i": "y", "s": "z"})
    data = payload.build_payload(spec).replace(b"/workspace", bytes(tmp_path))
    done = subprocess.run(
        ["sh", "-c", bootstrap.BOOTSTRAP], input=data, capture_output=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stdout == b"C 2xy\n"
