"""A parsed Dockerfile, and the environment and labels that it gives its image. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cronium_admin.image_builds.dockerfile.words import Word, WordError, expand_word

MAX_ENVIRONMENT = 256 * 1024  # characters of all variables and labels of an image

# What Cronium or the build sets in the container: the image's own values of these have no effect in a Dockerfile.
_SET_BY_BUILD = frozenset(
    {
        *("HOME", "HOSTNAME", "PWD", "PYTHONUNBUFFERED", "TMPDIR", "NODE_USE_ENV_PROXY", "PIP_INDEX_URL"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("PIP_TRUSTED_HOST", "NPM_CONFIG_REGISTRY"),
    }
)


def is_set_by_build(name: str) -> bool:
    return name in _SET_BY_BUILD or name.startswith(("CRONIUM_", "BUILD_"))


@dataclass(frozen=True, kw_only=True)
class _Instruction:
    line: int
    title: str = field(compare=False)  # the instruction in one line, cut


@dataclass(frozen=True, kw_only=True)
class Env(_Instruction):
    """ENV; with `is_argument` ARG, whose values the image does not get. A value None: an ARG without a default."""

    pairs: tuple[tuple[str, Word | None], ...]
    is_argument: bool = False


@dataclass(frozen=True, kw_only=True)
class RunCommand(_Instruction):
    """RUN. `command` is the whole command line, with the shell. `script`: a file with a `#!` line that it executes."""

    command: tuple[str, ...] = ()
    script: str = ""


@dataclass(frozen=True, kw_only=True)
class Workdir(_Instruction):
    path: Word


@dataclass(frozen=True, kw_only=True)
class User(_Instruction):
    name: Word


@dataclass(frozen=True, kw_only=True)
class Label(_Instruction):
    pairs: tuple[tuple[Word, Word], ...]


@dataclass(frozen=True, kw_only=True)
class Copy(_Instruction):
    """COPY of files whose contents are in the Dockerfile."""

    files: tuple[tuple[str, Word], ...]  # name, text
    target: Word
    mode: str = "0644"
    owner: Word = ()


@dataclass(frozen=True, kw_only=True)
class Ignored(_Instruction):
    reason: str  # empty: it needs no action in the build (SHELL)


Instruction: TypeAlias = Env | RunCommand | Workdir | User | Label | Copy | Ignored


@dataclass(frozen=True)
class Dockerfile:
    base: str  # the reference of the base image
    base_line: int = field(compare=False)
    instructions: tuple[Instruction, ...] = ()

    def build_environment(self, of_base: Sequence[str]) -> list[str]:
        """The variables of the image, as NAME=value. `of_base`: those of the base image. Raises WordError."""
        return self._evaluate(of_base)[0]

    def build_labels(self, of_base: Sequence[str]) -> dict[str, str]:
        """Raises WordError."""
        return self._evaluate(of_base)[1]

    def _evaluate(self, of_base: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        environment = dict(entry.partition("=")[::2] for entry in of_base)
        known = {name: value for name, value in environment.items() if not is_set_by_build(name)}
        inherited = dict(known)
        own: set[str] = set()
        labels: dict[str, str] = {}
        for instruction in self.instructions:
            if isinstance(instruction, Env):
                values = {name: expand_word(word, known.get) for name, word in instruction.pairs if word is not None}
                if instruction.is_argument:
                    known |= {name: inherited.get(name, text) for name, text in values.items() if name not in own}
                else:
                    known |= values
                    environment |= values
                    own |= values.keys()
            elif isinstance(instruction, Label):
                labels |= {
                    expand_word(name, known.get): expand_word(text, known.get) for name, text in instruction.pairs
                }
            if sum(map(len, [*known.values(), *labels.values()])) > MAX_ENVIRONMENT:
                raise WordError(f"variables and labels have more than {MAX_ENVIRONMENT:,} characters")
        return [f"{name}={value}" for name, value in environment.items()], labels
