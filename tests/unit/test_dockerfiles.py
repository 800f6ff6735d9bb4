"""Dockerfiles of custom images: what is read, what each error says, and that shell and Python agree on variables."""

import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.image_builds.dockerfile import script
from cronium_admin.image_builds.dockerfile.model import Copy, Dockerfile, Env, Ignored, RunCommand
from cronium_admin.image_builds.dockerfile.parse import (
    MAX_INSTRUCTIONS,
    DockerfileError,
    normalize_text,
    parse_dockerfile,
)
from cronium_admin.image_builds.recipe import load_recipe, parse_recipe
from cronium_admin.image_builds.script import build_script

SHELL = ("/bin/sh", "-c")
# The lines after FROM, and the command of the RUN in them.
COMMANDS: list[tuple[str, tuple[str, ...]]] = [
    ("RUN echo hello", (*SHELL, "echo hello")),
    ("run echo hello", (*SHELL, "echo hello")),
    ("  RUN   echo  a ", (*SHELL, "echo  a")),
    ("RUN a \\\n  b", (*SHELL, "a   b")),
    ("RUN a \\  \n\n# no part of it\n   # nor this\n b \\\n c", (*SHELL, "a  b  c")),
    ("RUN a \\", (*SHELL, "a")),
    ("RUN a \\\\\nRUN b", (*SHELL, "a \\\\")),
    ("RUN echo '# a'", (*SHELL, "echo '# a'")),
    ('RUN ["/bin/echo", "a b"]', ("/bin/echo", "a b")),
    ("RUN ['a']", (*SHELL, "['a']")),
    ("RUN [ -e /x ]", (*SHELL, "[ -e /x ]")),
    ("RUN [1]", (*SHELL, "[1]")),
    ('SHELL ["/bin/bash", "-c"]\nRUN a', ("/bin/bash", "-c", "a")),
    ("RUN <<EOF\na\n# b\n\nc \\\nEOF", (*SHELL, "a\n# b\n\nc \\\n")),
    ("RUN <<-EOF\n\ta\n\tEOF", (*SHELL, "a\n")),
    ("RUN <<'EOF'\n$a\nEOF", (*SHELL, "$a\n")),
    ('RUN <<"E.1"\na\nE.1', (*SHELL, "a\n")),
    ("RUN cat <<A >/x && cat <<B >/y\n1\nA\n2\nB", (*SHELL, "cat <<A >/x && cat <<B >/y\n1\nA\n2\nB\n")),
    ("RUN cat <<A>/x\n1\nA", (*SHELL, "cat <<A>/x\n1\nA\n")),
    ("RUN echo '<<EOF'", (*SHELL, "echo '<<EOF'")),
    ('RUN echo "a <<EOF b"', (*SHELL, 'echo "a <<EOF b"')),
    ("RUN cat <<<EOF", (*SHELL, "cat <<<EOF")),
    ("RUN echo $((1<<2))", (*SHELL, "echo $((1<<2))")),
]


def _parse(lines: str) -> Dockerfile:
    return parse_dockerfile(f"FROM base:1\n{lines}\n")


@pytest.mark.parametrize(("lines", "command"), COMMANDS)
def test_commands(lines: str, command: tuple[str, ...]) -> None:
    runs = [item for item in _parse(lines).instructions if isinstance(item, RunCommand)]
    assert runs[0].command == command


def test_a_heredoc_with_a_first_line_for_the_kernel_is_a_file() -> None:
    (run,) = _parse("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF").instructions
    assert isinstance(run, RunCommand)
    assert (run.script, run.command) == ("#!/usr/bin/env python3\nprint(1)\n", ())


def test_another_escape_character() -> None:
    found = parse_dockerfile("# syntax=x\n# escape=`\nFROM base\nRUN a `\n b\\\nENV A=x` y B=\\z\n")
    assert [item.title for item in found.instructions] == ["RUN a b\\", "ENV A=x` y B=\\z"]
    assert found.build_environment(()) == ["A=x y", "B=\\z"]
    # Only at the very beginning it is a directive.
    assert parse_dockerfile("# a comment\n# escape=`\nFROM base\nRUN a \\\n b").instructions[0].title == "RUN a b"


ENVIRONMENTS: list[tuple[str, list[str]]] = [
    ("ENV A=1", ["A=1"]),
    ("ENV A=1 B='two words' C=\"x y\" D=a\\ b", ["A=1", "B=two words", "C=x y", "D=a b"]),
    ("ENV A old form  here", ["A=old form  here"]),
    ("ENV A=1 \\\n  B=2", ["A=1", "B=2"]),
    ("ENV A=\nENV B=x$A", ["A=", "B=x"]),
    ("ENV A=1\nENV A=2 B=$A", ["A=2", "B=1"]),
    ("ENV PATH=/opt/bin:$PATH", ["PATH=/opt/bin:/bin"]),
    ("ENV A='$PATH' B=\\$PATH C=\"\\$PATH\" D=$", ["A=$PATH", "B=$PATH", "C=$PATH", "D=$"]),
    ("ENV A=${PATH}x B=${NO:-d} C=${NO-d} D=${PATH:+s} E=${NO:+s}", ["A=/binx", "B=d", "C=d", "D=s", "E="]),
    ("ENV A=${NO:-${PATH}/${NO:-y}}", ["A=/bin/y"]),
    ("ARG V=1\nENV A=$V", ["A=1"]),
    ("ARG V\nENV A=${V:-none}", ["A=none"]),
    ("ARG PATH=/other\nENV A=$PATH", ["A=/bin"]),
    ("ENV V=e\nARG V=a\nENV A=$V", ["V=e", "A=e"]),
    ("ARG V=1\nARG V=2\nENV A=$V", ["A=2"]),
    ("ENV A=$HOME$HTTP_PROXY$CRONIUM_RUN_ID", ["A="]),
    ("ARG HTTP_PROXY=p\nENV A=$HTTP_PROXY", ["A=p"]),
]


@pytest.mark.parametrize(("lines", "environment"), ENVIRONMENTS)
def test_variables_of_the_image(lines: str, environment: list[str]) -> None:
    base = ["PATH=/bin", "HOME=/workspace", "HTTP_PROXY=http://secret"]
    expected = dict(entry.partition("=")[::2] for entry in [*base, *environment])
    if "PATH=/opt" in lines:
        expected["PATH"] = "/opt/bin:/bin"
    assert _parse(lines).build_environment(base) == [f"{name}={value}" for name, value in expected.items()]


@pytest.mark.parametrize(("lines", "environment"), ENVIRONMENTS)
def test_commands_get_the_variables_that_the_image_gets(lines: str, environment: list[str]) -> None:
    assert _run_shell(lines, {"PATH": "/bin"}) == {
        **_read(_parse(lines).build_environment(["PATH=/bin"])),
        **_read_arguments(lines),
    }


def _read(entries: list[str]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in entries)


def _read_arguments(lines: str) -> dict[str, str]:
    # An ARG is a variable of later commands too, if no variable has its name.
    names = {
        name
        for item in _parse(lines).instructions
        if isinstance(item, Env) and item.is_argument
        for name, word in item.pairs
        if word is not None
    }
    copies = "\n".join(f"ENV COPY_{name}=${name}" for name in names)
    found = _read(_parse(f"{lines}\n{copies}").build_environment(["PATH=/bin"]))
    return {name: found[f"COPY_{name}"] for name in names}


_PROBE = """
execute() {
  local name
  for name in "${NAMES[@]}"; do variable=ENV_$name; printf '%s=%s\\0' "$name" "${!variable}"; done
}
"""


def _run_shell(lines: str, base: dict[str, str]) -> dict[str, str]:
    """The variables of a RUN at the end, by the script of the build with another `execute`."""
    text = build_script("x", 1, parse_recipe({"base": "bash", "dockerfile": f"FROM base\n{lines}\nRUN probe"}))
    before, _, rest = text.partition("step 1 ")
    captured = "\n".join(line for line in before.splitlines() if "BASE_" in line)
    steps = rest.partition("lend_apk_repositories\n")[2].partition("step ")[2].rpartition("restore_apk")[0]
    steps = f"step {steps.rpartition(chr(10) + 'step ')[0]}"
    commands = f"set -eu\nNAMES=()\nstep() {{ :; }}\n{captured}\n{_PROBE}\n{steps}\n"
    done = subprocess.run(["/bin/bash", "-c", commands], env=base, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, (done.stderr.decode(), commands)
    return base | _read(done.stdout.decode().split("\0")[:-1])


_WORDS = ["$A", "${B:-x y}", "${PATH:+'a b'}", '${A-"q"}', "${NO:-${A}/$B}"]


def _make_value(source: random.Random) -> str:
    text = "".join(source.choices("ab $\\{}'\"`:-+;|&<>()*#\t~é!", k=source.randrange(12)))
    return source.choice([text, json.dumps(text), source.choice(_WORDS), f"{text}{source.choice(_WORDS)}"])


def test_shell_and_python_agree() -> None:
    source, base = random.Random(16), {"PATH": "/bin", "B": "of the base"}
    compared = 0
    while compared < 60:
        count = source.randrange(1, 5)
        lines = "\n".join(f"ENV {source.choice('AB')}={_make_value(source)}" for _ in range(count))
        try:
            parsed = _parse(lines)
        except DockerfileError:
            continue
        expected = _read(parsed.build_environment([f"{name}={value}" for name, value in base.items()]))
        assert _run_shell(lines, base) == expected, lines
        compared += 1


def test_any_text_is_read_or_refused_in_words() -> None:
    source, refused = random.Random(17), 0
    words = [
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "ARG",
        "A=",
        "<<E",
        "E",
        "#",
        "${",
        "}",
        ":-",
        "[",
        '"',
        "'",
        "\\",
        "\n",
        "\0",
    ]
    words += [" ", "\n", "x", "$A", "/", "--", ",", "\ud800", "é", "\t", "\r"]
    for _ in range(2000):
        text = "".join(source.choices(words, k=source.randrange(40)))
        problems = _find_problems(source.choice(["", "FROM a\n"]) + text)
        assert len(problems) <= 6, text
        assert all(problem.endswith((".", "?")) for problem in problems), problems
        refused += bool(problems)
    assert 500 < refused < 2000


def _find_problems(text: str) -> list[str]:
    try:
        parse_dockerfile(text)
    except DockerfileError as error:
        return error.problems
    return []


def test_files() -> None:
    text = "COPY --chmod=755 --chown=app:app <<a.sh <<'b' /opt/\nhi $A \\$A \"q\"\na.sh\n$A\nb"
    (copy,) = _parse(text).instructions
    assert isinstance(copy, Copy)
    assert [name for name, _ in copy.files] == ["a.sh", "b"]
    assert (copy.mode, copy.owner, copy.target) == ("755", ("app:app",), ("/opt/",))
    assert copy.files[1][1] == ("$A\n",)


def test_labels() -> None:
    found = _parse('ARG V=3\nLABEL maintainer="A B" org.example/v=$V "with space"=x\nLABEL old form')
    assert found.build_labels(()) == {"maintainer": "A B", "org.example/v": "3", "with space": "x", "old": "form"}


@pytest.mark.parametrize(
    "line",
    [
        *("EXPOSE 80", "HEALTHCHECK CMD true", "STOPSIGNAL 9", "MAINTAINER me", 'CMD ["x"]', "ENTRYPOINT x"),
        "VOLUME /data",
    ],
)
def test_what_has_no_use_is_ignored_in_words(line: str) -> None:
    (item,) = _parse(line).instructions
    assert isinstance(item, Ignored)
    text = build_script("x", 1, parse_recipe({"base": "bash", "dockerfile": f"FROM base\n{line}\n"}))
    assert f"{line.split()[0]} is ignored: " in text
    assert "(line 2)" in text


BAD: list[tuple[str, str]] = [
    ("", "no FROM"),
    ("RUN x\nFROM a", "Line 1: RUN: stands before FROM"),
    ("FROM scratch", "scratch is empty"),
    ("FROM a\nFROM b", "Line 2: FROM: there is one FROM already"),
    ("FROM $IMAGE", "IMAGE has no value. Write ARG IMAGE=value"),
    ("ARG A\nFROM x:$A", "A has no value"),
    ("FROM --platform=linux/arm64 a", "platform of its host"),
    ("FROM a b", "needs one image"),
    ("FROM", "needs one image"),
    ("FROM a\nCOPY . /app", "Line 2: COPY: can't be used with a file or URL"),
    ("FROM a\nADD https://example.com/x /y", "no context"),
    ("FROM a\nCOPY --from=b /x /y", "one stage"),
    ("FROM a\nCOPY", "nothing after it"),
    ("FROM a\nCOPY <<E /tmp/x\nE", "is in memory"),
    ("FROM a\nCOPY <<E /workspace/\nE", "is in memory"),
    ("FROM a\nCOPY <<E <<F /x\nE\nF", "with / at its end"),
    ("FROM a\nCOPY --chmod=4755 <<E /x\nE", "--chmod=4755"),
    ("FROM a\nCOPY --parents <<E /x\nE", "--parents"),
    ("FROM a\nCOPY <<E /x\nnever ends", "The heredoc E has no end"),
    ("FROM a\n\n\nRUN <<E", "Line 4: The heredoc"),
    ("FROM a\nRUN --mount=type=secret,id=x cat /run/secrets/x", "--mount"),
    ("FROM a\nRUN --network=host x", "--network"),
    ("FROM a\nRUN --security=insecure x", "--security"),
    ('FROM a\nRUN ["", "x"]', "no command"),
    ("FROM a\nRUN []", "no command"),
    ("FROM a\nONBUILD RUN x", "Line 2: ONBUILD"),
    ("FROM a\nRUNN x", "Did you mean RUN?"),
    ("FROM a\nRUN x\n  && y", "A line that continues another"),
    ("FROM a\nSHELL /bin/bash", "needs a list"),
    ("FROM a\nUSER a b", "one name or number"),
    ("FROM a\nENV A", "A has no value"),
    ("FROM a\nENV A=1 B", "B has no ="),
    ("FROM a\nENV A=${B/x/y}", "another modifier"),
    ("FROM a\nENV A=${B", "another modifier"),
    ("FROM a\nENV A=${}", "no name of a variable"),
    ("FROM a\nENV A='x", "not closed"),
    ('FROM a\nENV A="x', "not closed"),
    ("FROM a\nENV CRONIUM_RUN_ID=1", "CRONIUM_RUN_ID is reserved"),
    ("FROM a\nENV LD_PRELOAD=/x.so", "LD_PRELOAD is reserved"),
    ("FROM a\nENV HOME=/root", "HOME is reserved"),
    ("FROM a\nENV BASH_ENV=/x", "BASH_ENV is reserved"),
    ("FROM a\nENV a.b=1", "not a variable name"),
    ("FROM a\nARG a-b=1", "not a variable name"),
    ("FROM a\nARG TARGETARCH", "uname -m"),
    ("FROM a\nLABEL cronium.image=x", "Cronium's own"),
    ("FROM a\nLABEL CRONIUM.image=x", "Cronium's own"),
    ("FROM a\nLABEL $A=x", "without variables"),
    ("# escape=x\nFROM a", "The escape character"),
    ("FROM a\nRUN a\0b", "Line 2: has a NUL"),
    ("FROM a\nRUN \ud800", "surrogate"),
    ('FROM a\nRUN ["echo", "\\ud800"]', "half a surrogate pair"),
    ('FROM a\nRUN ["echo", "a\\u0000b"]', "NUL character"),
    ('FROM a\nSHELL ["\\ud800"]\nRUN x', "half a surrogate pair"),
    (f'FROM a\nSHELL ["{"x" * 1001}"]\nRUN x', "more than 1,000 characters"),
    ("FROM a\n" + "wrong\n" * 10_000, "And 96 more"),
    (f"FROM a\n{'x' * 70_000}", "at most 65,536"),
    ("FROM a\n" + "RUN x\n" * (MAX_INSTRUCTIONS + 1), "more than 200 instructions"),
    ("FROM a\nENV " + "A=1 " * 201, "at most 200"),
    ("FROM a\nENV A=" + "${A:-" * 1000, "within each other"),
    ("FROM a\nENV A=xxxxxxxxxxxxxxxx\n" + "ENV A=$A$A\n" * 60, "more than 32,768"),
    ("ARG A=xxxxxxxxxxxxxxxx\n" + "ARG A=$A$A\n" * 60 + "FROM a", "more than 32,768"),
    (
        "FROM a\n" + "".join(f"ENV A{number}={'x' * 3000}\nENV B{number}=$A0$A0$A0$A0$A0\n" for number in range(20)),
        "26",
    ),
]


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_each_mistake_is_named_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_dockerfile(text)
    assert problem in " ".join(caught.value.problems)
    assert len(caught.value.problems) <= 6


RECIPES: list[tuple[Any, str]] = [
    (7, "Must be the text"),
    (["FROM a"], "Must be the text"),
    ("FROM UPPER", "Line 1: FROM: Not an image name"),
    (f"FROM sha256:{'a' * 64}", "Line 1: FROM:"),
    ("FROM cronium/kept:0123", "Line 1: FROM:"),
    ("FROM docker.io/cronium/build-raw:0123-1", "Line 1: FROM:"),
    ("FROM a\nCOPY . .", "Line 2"),
]


@pytest.mark.parametrize(("value", "problem"), RECIPES)
def test_a_recipe_refuses(value: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_recipe({"base": "python", "dockerfile": value})
    assert problem in " ".join(caught.value.message_dict["recipe.dockerfile"])


def test_a_dockerfile_stands_instead_of_packages() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_recipe({"base": "python", "dockerfile": "FROM a", "python": ["six"]})
    assert "python too" in " ".join(caught.value.message_dict["recipe.dockerfile"])


def test_a_recipe_keeps_the_text() -> None:
    recipe = parse_recipe({"base": "node", "dockerfile": "\ufeff\r\nFROM debian\r\nRUN x  \r\n\r\n", "node": []})
    assert recipe.dockerfile == "\nFROM debian\nRUN x\n"
    assert load_recipe(recipe.values) == recipe
    assert recipe.values == {"base": "node", "dockerfile": "\nFROM debian\nRUN x\n"}
    assert parse_recipe({"base": "node", "dockerfile": "FROM debian\nRUN y\n"}).digest != recipe.digest
    assert normalize_text(" \n\n") == ""


def test_the_scripts_own_variables_hide_none_of_the_image() -> None:
    folder = Path(script.__file__).parents[1] / "shell"
    text = (folder / "begin.sh").read_text() + (folder / "dockerfile.sh").read_text()
    lines = [line for line in text.splitlines() if "export " not in line and "local " not in line]
    assigned = set(re.findall(r"(?:^|[ ;])([A-Z][A-Z_]*)=", "\n".join(lines), re.MULTILINE))
    assert assigned - {"IFS", "HOME"} <= set(script.OF_SCRIPT), "a variable of the script is not in OF_SCRIPT"


def test_the_steps_are_numbered_and_name_their_lines() -> None:
    lines = "FROM debian\nENV A=1\n\nRUN apt-get update \\\n && " + "x" * 80 + "\nUSER app\nWORKDIR x\n"
    text = build_script("mine", 1, parse_recipe({"base": "bash", "dockerfile": lines}))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    steps = [line for line in text.splitlines() if line.startswith("step ")]
    assert steps[1:3] == ["step 2 'ENV A=1 (line 2)'", f"step 3 'RUN apt-get update && {'x' * 37}… (line 4)'"]
    assert f"STEPS={len(steps)}" in text
