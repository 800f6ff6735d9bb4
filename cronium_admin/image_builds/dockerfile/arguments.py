"""The arguments of the instructions ENV, ARG, LABEL, WORKDIR, USER and COPY. Pure."""

import re
from collections.abc import Mapping

from cronium_admin.core.env_names import find_env_name_problem
from cronium_admin.image_builds.dockerfile.lines import Line
from cronium_admin.image_builds.dockerfile.model import Copy, Env, Label, User, Workdir
from cronium_admin.image_builds.dockerfile.words import Word, parse_content, parse_word, split_words

MAX_PAIRS = 200
# Names that a job's environment can't set, but an image can.
_ALLOWED_NAMES = frozenset({"PATH", "LD_LIBRARY_PATH", "NODE_OPTIONS"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MODE = re.compile(r"0?[0-7]{3}")
_IN_MEMORY = re.compile(r"/(?:workspace|tmp|dev|proc|sys)(?:/|$)")
_PLATFORM = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)")
_NO_CONTEXT = (
    "can't be used with a file or URL: a build has no context. Fetch the file in a RUN from an allowed host, or write "
    "its content here: COPY <<EOF /opt/file, the content, and a line with EOF"
)


class InstructionError(Exception):
    """An instruction that can't be used, with the remedy; without a full stop."""


def parse_environment(line: Line, title: str, escape: str) -> Env:
    pairs = []
    for name, text in _split_pairs(line.rest, escape):
        problem = None if name in _ALLOWED_NAMES else find_env_name_problem(name)
        if problem:
            raise InstructionError(problem.rstrip("."))
        pairs.append((name, parse_word(text, escape)))
    return Env(line=line.number, title=title, pairs=tuple(pairs))


def parse_argument(line: Line, title: str, escape: str, given: Mapping[str, str]) -> Env:
    """`given`: the values of ARG before FROM, which an ARG without a default repeats."""
    pairs: list[tuple[str, Word | None]] = []
    for word in _check_number(split_words(line.rest, escape)):
        name, equals, text = word.partition("=")
        if not _NAME.fullmatch(name):
            raise InstructionError(f"{name[:40]!r} is not a variable name: letters, digits and _")
        if not equals and _PLATFORM.fullmatch(name):
            raise InstructionError(f"{name} has no value in a build. Use $(uname -m) in the RUN instead")
        value = parse_word(text, escape) if equals else (given[name],) if name in given else None
        pairs.append((name, value))
    return Env(line=line.number, title=title, pairs=tuple(pairs), is_argument=True)


def parse_labels(line: Line, title: str, escape: str) -> Label:
    pairs = []
    for name, text in _split_pairs(line.rest, escape):
        key = parse_word(name, escape)
        if not key or not all(isinstance(part, str) for part in key):
            raise InstructionError("the key of a label is a text without variables")
        if str(key[0]).lower().startswith("cronium."):
            raise InstructionError("keys that begin with cronium. are Cronium's own. Choose another key")
        pairs.append((key, parse_word(text, escape)))
    return Label(line=line.number, title=title, pairs=tuple(pairs))


def parse_workdir(line: Line, title: str, escape: str) -> Workdir:
    return Workdir(line=line.number, title=title, path=parse_word(line.rest, escape))


def parse_user(line: Line, title: str, escape: str) -> User:
    if len(split_words(line.rest, escape)) != 1:
        raise InstructionError("needs one name or number, with a group if you like, such as app or 1000:1000")
    return User(line=line.number, title=title, name=parse_word(line.rest, escape))


def parse_copy(line: Line, title: str, escape: str) -> Copy:
    words = split_words(line.rest, escape)
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")] or [""]
    if any(option.startswith("--from=") for option in options):
        raise InstructionError(
            "--from can't be used: a build has one stage. Name that image in FROM, or fetch the file in a RUN"
        )
    if not sources or len(line.heredocs) != len(sources) or not all(source.startswith("<<") for source in sources):
        raise InstructionError(_NO_CONTEXT)
    mode, owner = _parse_copy_options(options, escape)
    path = parse_word(target, escape)
    if path and isinstance(path[0], str) and _IN_MEMORY.match(path[0]):
        raise InstructionError(
            f"{target[:60]} is in memory, in builds and in jobs, so the image would not get the file. Choose another "
            "folder, such as /opt/app"
        )
    if len(sources) > 1 and not target.endswith("/"):
        raise InstructionError("several files need a folder as their target, with / at its end")
    files = tuple(
        (heredoc.name, parse_content(heredoc.text) if heredoc.expands else (heredoc.text,)) for heredoc in line.heredocs
    )
    return Copy(line=line.number, title=title, files=files, target=path, mode=mode, owner=owner)


def _parse_copy_options(options: list[str], escape: str) -> tuple[str, Word]:
    mode = "0644"
    owner: Word = ()
    for option in options:
        name, _, value = option.partition("=")
        if name == "--chmod" and _MODE.fullmatch(value):
            mode = value
        elif name == "--chown" and value:
            owner = parse_word(value, escape)
        elif name != "--link":
            raise InstructionError(f"{option[:40]} can't be used. Possible are --chmod=755 and --chown=user:group")
    return mode, owner


def _split_pairs(text: str, escape: str) -> list[tuple[str, str]]:
    words = split_words(text, escape)
    if "=" not in words[0]:  # the old form, with one name and the rest of the line
        name, _, value = text.partition(" ")
        if not value.strip():
            raise InstructionError(f"{name[:40]} has no value. Write {name[:40]}=value")
        return [(name, value.strip())]
    pairs = []
    for word in _check_number(words):
        name, equals, value = word.partition("=")
        if not equals:
            raise InstructionError(f"{word[:40]} has no =. Put values with spaces in quotes")
        pairs.append((name, value))
    return pairs


def _check_number(words: list[str]) -> list[str]:
    if len(words) > MAX_PAIRS:
        raise InstructionError(f"has {len(words)} entries; at most {MAX_PAIRS} are allowed")
    return words
