"""Parses and checks the text of a Dockerfile. Pure."""

import difflib
import json
import re
from collections.abc import Callable

from cronium_admin.image_builds.dockerfile.arguments import (
    InstructionError,
    parse_argument,
    parse_copy,
    parse_environment,
    parse_labels,
    parse_user,
    parse_workdir,
)
from cronium_admin.image_builds.dockerfile.lines import Line, LineError, read_escape, split_lines
from cronium_admin.image_builds.dockerfile.model import Dockerfile, Ignored, Instruction, RunCommand
from cronium_admin.image_builds.dockerfile.words import WordError, expand_word, list_names, parse_word, split_words

MAX_BYTES = 64 * 1024
MAX_INSTRUCTIONS = 200
_MAX_PROBLEMS, _MAX_COUNTED = 5, 100
_MAX_SHELL = 1000  # characters: each RUN repeats them
_MAX_TITLE = 60
_STARTS = "Cronium starts the interpreter of the job's language as user 1000 in /workspace"
_IGNORED = {
    "CMD": f"{_STARTS}.",
    "ENTRYPOINT": f"{_STARTS}.",
    "EXPOSE": "no port of a job is reachable.",
    "HEALTHCHECK": "a job has no health check.",
    "STOPSIGNAL": "Cronium stops every job with SIGTERM.",
    "VOLUME": "a job has no volumes; it writes in /workspace and /tmp.",
    "MAINTAINER": "it is out of use. Write LABEL org.opencontainers.image.authors=...",
}
_UNUSABLE = re.compile("[\\0\ud800-\udfff]")
_KNOWN = (*_IGNORED, "FROM", "ARG", "ENV", "RUN", "WORKDIR", "USER", "SHELL", "LABEL", "COPY", "ADD", "ONBUILD")


class DockerfileError(Exception):
    """The problems of a Dockerfile, each with its line and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def normalize_text(text: str) -> str:
    """Without a byte order mark, with line ends as Linux has them, and without empty lines at its end."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip()
    return f"{lines}\n" if lines else ""


def parse_dockerfile(text: str) -> Dockerfile:
    """Raises DockerfileError."""
    if problem := _find_text_problem(text):
        raise DockerfileError([problem])
    parser, lines = _Parser(), text.split("\n")
    try:
        parser.escape, start = read_escape(lines)
        for line in split_lines(lines, parser.escape, start):
            parser.add_line(line)
            if len(parser.problems) > _MAX_COUNTED:
                break
    except LineError as error:
        parser.problems.append(f"Line {error.number}: {error.text}")
    if not parser.has_base and not parser.problems:
        parser.problems.append("Has no FROM. Begin with the base image, such as FROM cronium/runner:python-debian.")
    if parser.problems:
        more = len(parser.problems) - _MAX_PROBLEMS
        raise DockerfileError(parser.problems[:_MAX_PROBLEMS] + ([f"And {more} more."] if more > 0 else []))
    parsed = Dockerfile(parser.base, parser.base_line, tuple(parser.instructions))
    try:
        parsed.build_environment(())
    except WordError as error:
        raise DockerfileError([f"Too long: {error}."]) from None
    return parsed


def _find_text_problem(text: str) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        return f"Has {size:,} bytes; at most {MAX_BYTES:,} are allowed. Fetch large files in a RUN."
    for number, line in enumerate(text.split("\n"), 1):
        if _UNUSABLE.search(line):
            return f"Line {number}: has a NUL character or half a surrogate pair, which no Dockerfile can contain."
    return ""


class _Parser:
    def __init__(self) -> None:
        self.escape = "\\"
        self.base, self.base_line, self.has_base = "", 0, False
        self.instructions: list[Instruction] = []
        self.problems: list[str] = []
        self._arguments: dict[str, str] = {}  # of ARG before FROM
        self._shell: tuple[str, ...] = ("/bin/sh", "-c")

    def add_line(self, line: Line) -> None:
        try:
            self._add(line)
        except (InstructionError, WordError) as error:
            end = "" if str(error).endswith("?") else "."
            self.problems.append(f"Line {line.number}: {line.keyword[:20]}: {error}{end}")

    def _add(self, line: Line) -> None:
        _check_keyword(line)
        if not self.has_base and line.keyword not in ("FROM", "ARG"):
            raise InstructionError("stands before FROM. Only ARG may; begin with the base image")
        if line.keyword == "FROM":
            return self._set_base(line)
        if not self.has_base:
            return self._add_global_argument(line)
        if not line.rest:
            raise InstructionError("has nothing after it")
        if len(self.instructions) == MAX_INSTRUCTIONS:
            raise InstructionError(
                f"there are more than {MAX_INSTRUCTIONS} instructions. Join some with && or a heredoc"
            )
        if len(self.instructions) < MAX_INSTRUCTIONS:
            self.instructions.append(self._parse(line, make_title(line)))
        return None

    def _parse(self, line: Line, title: str) -> Instruction:
        if line.keyword in _IGNORED:
            return Ignored(line=line.number, title=title, reason=_IGNORED[line.keyword])
        if line.keyword == "RUN":
            return self._parse_run(line, title)
        if line.keyword == "SHELL":
            self._shell = _parse_shell(line.rest)
            return Ignored(line=line.number, title=title, reason="")
        if line.keyword == "ARG":
            return parse_argument(line, title, self.escape, self._arguments)
        return _PARSERS[line.keyword](line, title, self.escape)

    def _set_base(self, line: Line) -> None:
        if self.has_base:
            text = "there is one FROM already. A build has one stage: do the work of the other stages in RUN"
            raise InstructionError(text)
        self.has_base = True
        self.base_line = line.number
        words = split_words(line.rest, self.escape)
        if words and words[0].startswith("--"):
            raise InstructionError(
                f"{words[0][:40]} can't be used: a build runs on the platform of its host. Leave it out"
            )
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise InstructionError("needs one image, such as FROM cronium/runner:python-debian")
        word = parse_word(words[0], self.escape)
        if missing := sorted(name for name in list_names(word) if name not in self._arguments):
            text = f"{missing[0]} has no value. Write ARG {missing[0]}=value before FROM, or the image's name itself"
            raise InstructionError(text)
        self.base = expand_word(word, self._arguments.get)
        if self.base == "scratch":
            raise InstructionError("scratch is empty, and a build needs bash in its base. Name an image")

    def _add_global_argument(self, line: Line) -> None:
        instruction = parse_argument(line, make_title(line), self.escape, {})
        for name, word in instruction.pairs:
            if word is not None:
                self._arguments[name] = expand_word(word, self._arguments.get)

    def _parse_run(self, line: Line, title: str) -> RunCommand:
        if line.rest.startswith("--"):
            option = line.rest.split()[0].partition("=")[0]
            raise InstructionError(
                f"{option[:40]} can't be used: there is no build context, no cache and no other network or mode. "
                "Leave it out"
            )
        written = "".join(heredoc.written for heredoc in line.heredocs)
        text = f"{line.rest}\n{written}" if written else line.rest
        if len(line.heredocs) == 1 and len(line.rest.split()) == 1:
            text = line.heredocs[0].text
            if text.startswith("#!"):
                return RunCommand(line=line.number, title=title, script=text)
        words = _parse_json(line.rest)
        if words is not None and (not words or not words[0]):
            raise InstructionError("the list has no command")
        return RunCommand(line=line.number, title=title, command=words or (*self._shell, text))


_PARSERS: dict[str, Callable[[Line, str, str], Instruction]] = {
    "ENV": parse_environment,
    "LABEL": parse_labels,
    "WORKDIR": parse_workdir,
    "USER": parse_user,
    "COPY": parse_copy,
    "ADD": parse_copy,
}


def _check_keyword(line: Line) -> None:
    if line.keyword == "ONBUILD":
        raise InstructionError(
            "can't be used: no other Dockerfile is built on it by an engine. Write the instruction itself"
        )
    if line.keyword not in _KNOWN:
        close = difflib.get_close_matches(line.keyword[:20], _KNOWN, 1)
        hint = f"Did you mean {close[0]}?" if close else "A line that continues another needs \\ at that line's end"
        raise InstructionError(f"is no instruction of a Dockerfile. {hint}")


def _parse_json(text: str) -> tuple[str, ...] | None:
    """None for a text that is no list of texts: then it is a command of the shell."""
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    if _UNUSABLE.search("".join(values)):
        raise InstructionError("the list has a NUL character or half a surrogate pair, which no command can have")
    return tuple(values)


def _parse_shell(text: str) -> tuple[str, ...]:
    words = _parse_json(text)
    if not words or not words[0]:
        raise InstructionError('needs a list of texts, such as SHELL ["/bin/bash", "-o", "pipefail", "-c"]')
    if sum(map(len, words)) > _MAX_SHELL:
        raise InstructionError(f"has more than {_MAX_SHELL:,} characters. Write long commands in a RUN")
    return words


def make_title(line: Line) -> str:
    text = " ".join(f"{line.keyword} {line.rest}".split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MAX_TITLE else f"{text[: _MAX_TITLE - 1]}…"
