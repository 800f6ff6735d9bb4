"""Pure: converts a stored script to the file in the container, and parses its `#!` line.

The stored text stays unchanged. The delivered file differs where a shell or the kernel would fail: no byte order mark,
LF line ends, and a Python encoding declaration of UTF-8.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

BOM = "\ufeff"
INTERPRETERS = {"bash": "bash", "python": "python3", "node": "node"}
# Other names of a language's interpreter in a `#!` line.
_NAMES = {
    "bash": re.compile(r"bash|sh"),
    "python": re.compile(r"(python|pypy)\d*(\.\d+)*"),
    "node": re.compile(r"node(js)?\d*"),
}
_PLAIN = {"bash", "sh", "python", "python3", "node", "nodejs"}  # names without a version: any image of the language
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_ENV_WITH_VALUE = {"-u", "--unset", "-C", "--chdir"}
_DECLARED = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)([-\w.]+)")  # from Python's language reference
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([A-Za-z_][\w.-]*))")
_QUOTING = re.compile(r"\\.|'|\"|(?:^|\s)#", re.DOTALL)
_CR_BEFORE_END = re.compile(r"\r+(?=\n|\Z)")
# Syntax that only an ES module contains. Matches line by line, also inside strings.
_MODULE = re.compile(
    r"^(?:import\s*(?:[\w$*{][^\"'();]{0,2000}?\bfrom\s*)?[\"']|export\s+(?:default|const|let|class|function|async|\{)"
    r"|(?:(?:const|let|var)\s[^\n]*=\s*)?await\s|for\s+await\b)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Shebang:
    """A script's `#!` line. `interpreter` is a name or path; `env` holds the arguments of the program `env` itself."""

    interpreter: str
    options: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return PurePosixPath(self.interpreter).name

    @property
    def language(self) -> str:
        return next((language for language, names in _NAMES.items() if names.fullmatch(self.name)), "")

    @property
    def is_plain(self) -> bool:
        return self.name in _PLAIN


def parse_shebang(script: str) -> Shebang | None:
    """The `#!` line of a script; None if there is none that names a program.

    All words after the program are separate options, although Linux passes them as one and needs `env -S`.
    """
    first = re.split(r"[\r\n]", script.removeprefix(BOM), maxsplit=1)[0]
    if not first.startswith("#!"):
        return None
    words = _split_words(first[2:])
    if not words:
        return None
    if PurePosixPath(words[0]).name != "env":
        return Shebang(words[0], tuple(words[1:]))
    return _parse_env_arguments(words[1:])


def _split_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an unclosed quote
        return text.split()


def _parse_env_arguments(words: list[str]) -> Shebang | None:
    env_arguments: list[str] = []
    while words:
        word, *words = words
        if word in ("-S", "-vS", "--split-string"):
            continue
        if word.startswith(("-S", "--split-string=")):
            words = [*_split_words(word.removeprefix("--split-string=").removeprefix("-S")), *words]
        elif word in _ENV_WITH_VALUE and words:
            env_arguments += [word, words.pop(0)]
        elif word.startswith("-") or _ASSIGNMENT.match(word):
            env_arguments.append(word)
        else:
            return Shebang(word, tuple(words), tuple(env_arguments))
    return None


def find_problem(language: str, script: str) -> str | None:
    line = parse_shebang(script)
    if line is None or line.language in ("", language):
        return None
    return (
        f"The first line names {line.name}, but the job's language is {language}. Change the language to "
        f"{line.language}, or change the first line."
    )


def make_file_text(language: str, script: str) -> str:
    text = script.removeprefix(BOM)
    if language == "bash":
        return _normalize_bash_lines(text)
    # Both languages treat all three line ends alike, also in multi-line strings.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _declare_utf8(text) if language == "python" else text


def is_module(script: str) -> bool:
    return _MODULE.search(make_file_text("node", script)) is not None


def _normalize_bash_lines(text: str) -> str:
    # In a file with mixed line ends, carriage returns in here-documents and quoted strings may be intended: they stay.
    if "\r" not in text:
        return text
    if "\n" not in text:
        return text.replace("\r", "\n")
    ends, windows = text.count("\n"), text.count("\r\n")
    if ends and (windows == ends or (2 * windows > ends and text.partition("\n")[0].endswith("\r"))):
        return _CR_BEFORE_END.sub("", text)
    lines: list[str] = []
    waiting: list[tuple[bool, str]] = []  # delimiters of here-documents, and whether tabs may stand before them
    quote = ""
    for line in text.split("\n"):
        bare = line.rstrip("\r")
        if waiting:
            tabs, word = waiting[0]
            is_end = (bare.lstrip("\t") if tabs else bare) == word
            lines.append(bare if is_end else line)
            waiting = waiting[1:] if is_end else waiting
            continue
        begins_quoted = bool(quote)
        quote = _track_quote(bare, quote)
        lines.append(line if quote else bare)
        if not begins_quoted and "((" not in bare and not bare.lstrip().startswith("#"):
            heredocs = _HEREDOC.finditer(bare.replace("<<<", ""))
            waiting = [(bool(heredoc[1]), heredoc[2] or heredoc[3] or heredoc[4]) for heredoc in heredocs]
    return "\n".join(lines)


def _track_quote(line: str, quote: str) -> str:
    for match in _QUOTING.finditer(line):
        mark = match[0]
        if quote == "" and mark in ("'", '"'):
            quote = mark
        elif mark == quote or (mark == "\\'" and quote == "'"):  # no escapes within single quotes
            quote = ""
        elif mark.endswith("#") and quote == "":
            break
    return quote


def _declare_utf8(text: str) -> str:
    lines = text.split("\n", 2)
    for index in range(min(2, len(lines))):
        if match := _DECLARED.match(lines[index]):
            lines[index] = match[1] + "utf-8" + lines[index][match.end() :]
            break
        if lines[index].strip() and not lines[index].lstrip().startswith("#"):
            break
    return "\n".join(lines)
