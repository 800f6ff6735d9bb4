"""Words of a Dockerfile: quotes, escapes and variables. Pure."""

import itertools
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+]")
_MAX_DEPTH = 8
MAX_VALUE = 32 * 1024


class WordError(Exception):
    """A word that can't be read, with the remedy."""


@dataclass(frozen=True)
class Variable:
    """`$NAME`, or `${NAME<operator><word>}` with one of the operators `:-`, `-`, `:+` and `+`."""

    name: str
    operator: str = ""
    word: "Word" = ()


Word: TypeAlias = tuple[str | Variable, ...]
Lookup: TypeAlias = Callable[[str], str | None]


def split_words(text: str, escape: str) -> list[str]:
    """Splits at white space outside quotes; quotes and escapes stay in the words."""
    mark = re.escape(escape)
    # A quote that is not closed reaches to the end.
    word = rf"""(?:[^ \t'"{mark}]+|{mark}.?|'[^']*'|"(?:{mark}.|[^"{mark}])*"|['"].*)+"""
    return [match[0] for match in re.finditer(word, text, re.DOTALL)]


def parse_word(text: str, escape: str) -> Word:
    """Raises WordError."""
    return _Parser(text, escape).parse_all()


def parse_content(text: str) -> Word:
    """The text of a heredoc, in which variables are replaced: quotes stay, and `\\$` is a dollar sign."""
    return _Parser(text, "\\").parse_content()


def expand_word(word: Word, lookup: Lookup) -> str:
    """Raises WordError for a text of more than MAX_VALUE characters: variables can double each other."""
    parts: list[str] = []
    size = 0
    for part in word:
        parts.append(part if isinstance(part, str) else _expand_variable(part, lookup))
        size += len(parts[-1])
        if size > MAX_VALUE:
            raise WordError(f"a value has more than {MAX_VALUE:,} characters")
    return "".join(parts)


def _expand_variable(variable: Variable, lookup: Lookup) -> str:
    value = lookup(variable.name)
    is_set = bool(value) if variable.operator.startswith(":") else value is not None
    if variable.operator.endswith("-") and not is_set:
        return expand_word(variable.word, lookup)
    if variable.operator.endswith("+"):
        return expand_word(variable.word, lookup) if is_set else ""
    return value or ""


def format_shell(word: Word, find_shell_name: Callable[[str], str]) -> str:
    """The word as shell code that gives the same text. `find_shell_name`: the shell variable of a variable, which may
    be unset; empty for a variable that is never set."""
    parts = [
        shlex.quote(part) if isinstance(part, str) else _format_variable(part, find_shell_name) for part in word if part
    ]
    return "".join(parts) or "''"


def _format_variable(variable: Variable, find_shell_name: Callable[[str], str]) -> str:
    name, operator = find_shell_name(variable.name), variable.operator
    word = format_shell(variable.word, find_shell_name) if operator else ""
    if not name:
        return word if operator.endswith("-") else ""
    return f'"${{{name}{operator}$(printf %s {word})}}"' if operator else f'"${{{name}-}}"'


def list_names(word: Word) -> set[str]:
    """The names of all variables in the word."""
    variables = [part for part in word if isinstance(part, Variable)]
    return {variable.name for variable in variables}.union(*(list_names(variable.word) for variable in variables))


class _Parser:
    def __init__(self, text: str, escape: str) -> None:
        self._text, self._escape = text, escape
        self._at = self._depth = 0

    def parse_all(self) -> Word:
        return self._parse("")

    def parse_content(self) -> Word:
        parts: list[str | Variable] = []
        while self._at < len(self._text):
            if self._text.startswith("\\$", self._at):
                parts.append("$")
                self._at += 2
            elif self._text[self._at] == "$":
                parts.append(self._parse_variable())
            else:
                parts.append(self._text[self._at])
                self._at += 1
        return _join(parts)

    def _parse(self, end: str) -> Word:
        """Up to the character `end`, which is not read; empty: to the end of the text."""
        parts: list[str | Variable] = []
        while self._at < len(self._text) and (not end or self._text[self._at] != end):
            character = self._text[self._at]
            if character == "'":
                close = self._text.find("'", self._at + 1)
                if close < 0:
                    raise WordError("a single quote is not closed")
                parts.append(self._text[self._at + 1 : close])
                self._at = close + 1
            elif character == '"':
                parts += self._parse_double_quotes()
            elif character == self._escape and self._at + 1 < len(self._text):
                parts.append(self._text[self._at + 1])
                self._at += 2
            elif character == "$":
                parts.append(self._parse_variable())
            else:
                parts.append(character)
                self._at += 1
        return _join(parts)

    def _parse_double_quotes(self) -> list[str | Variable]:
        parts: list[str | Variable] = []
        self._at += 1
        while self._at < len(self._text):
            character, following = self._text[self._at], self._text[self._at + 1 : self._at + 2]
            if character == '"':
                self._at += 1
                return parts
            if character == self._escape and following and following in ('"', "$", self._escape):
                parts.append(following)
                self._at += 2
            elif character == "$":
                parts.append(self._parse_variable())
            else:
                parts.append(character)
                self._at += 1
        raise WordError("a double quote is not closed")

    def _parse_variable(self) -> str | Variable:
        self._at += 1
        if match := _NAME.match(self._text, self._at):
            self._at = match.end()
            return Variable(match[0])
        if not self._text.startswith("{", self._at):
            return "$"
        match = _NAME.match(self._text, self._at + 1)
        if match is None:
            raise WordError("after '${' there is no name of a variable")
        self._at = match.end()
        operator = _OPERATOR.match(self._text, self._at)
        word: Word = ()
        if operator:
            self._at = operator.end()
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise WordError(f"variables stand within each other {_MAX_DEPTH} times")
            word = self._parse("}")
            self._depth -= 1
        if not self._text.startswith("}", self._at):
            forms = "write ${NAME}, ${NAME:-word}, ${NAME-word}, ${NAME:+word} or ${NAME+word}"
            raise WordError(f"{match[0]!r} has another modifier than those of a Dockerfile, or no '}}': {forms}")
        self._at += 1
        return Variable(match[0], operator[0] if operator else "", word)


def _join(parts: list[str | Variable]) -> Word:
    joined: list[str | Variable] = []
    for is_text, group in itertools.groupby(parts, lambda part: isinstance(part, str)):
        run = list(group)
        joined += ["".join(str(part) for part in run)] if is_text else run
    return tuple(joined)
