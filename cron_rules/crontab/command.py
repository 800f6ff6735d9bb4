"""The command of an entry: cron's percent signs, and the bash script that does the same."""

import re
import shlex
from collections.abc import Iterable

_STANDARD_FOLDERS = {"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}


def split_command(text: str) -> tuple[str, str | None]:
    r"""The command, and its standard input; None without an unescaped `%`.

    The first unescaped `%` ends the command; each further one is a line break of the input. `\%` is a percent sign.
    """
    command: list[str] = []
    is_escaped = False
    for index, character in enumerate(text):
        if is_escaped:
            if character == "%":
                command.pop()
            command.append(character)
            is_escaped = False
            continue
        if character == "%":
            return "".join(command), _read_input(text[index + 1 :])
        command.append(character)
        is_escaped = character == "\\"
    return "".join(command), None


def _read_input(text: str) -> str:
    found: list[str] = []
    is_escaped = False
    for character in text:
        if is_escaped:
            if character != "%":
                found.append("\\")
            written = character
        else:
            written = "\n" if character == "%" else character
        is_escaped = written == "\\"
        if not is_escaped:
            found.append(written)
    if is_escaped:
        found.append("\\")
    joined = "".join(found)
    return joined + "\n" if joined and not joined.endswith("\n") else joined


def build_script(command: str, stdin: str | None, comments: Iterable[str], path: str | None) -> str:
    """A bash script. `path` is the crontab's PATH: its folders come before those of the image."""
    lines = [f"# {comment}" for comment in comments]
    if path is not None and (folders := [part for part in path.split(":") if part not in _STANDARD_FOLDERS]):
        lines.append(f'export PATH={shlex.quote(":".join(folders))}:"$PATH"')
    if stdin == "":
        lines.append("exec </dev/null")
    elif stdin is not None:
        mark = _choose_mark(stdin)
        lines += [f"exec <<'{mark}'", stdin.removesuffix("\n"), mark]
    return "\n".join([*lines, command, ""])


def _choose_mark(stdin: str) -> str:
    """A line that the input does not have."""
    lines, mark = set(stdin.split("\n")), "INPUT"
    while mark in lines:
        mark += "_"
    return mark


def has_own_folders(path: str) -> bool:
    return any(part not in _STANDARD_FOLDERS for part in path.split(":") if part)


def suggest_name(command: str) -> str:
    """The program that the command is about, without folders and wrappers such as `cd`, `test` and `nice`."""
    for part in re.split(r"\|\||&&|[;|&]", command):
        words = [word for word in part.split() if not re.match(r"[A-Za-z_]\w*=|[<>]|[0-9]*>", word)]
        while words and (words[0].lstrip("({").rpartition("/")[2] in _WRAPPERS or not re.search(r"\w", words[0])):
            wrapper = words[0].rpartition("/")[2]
            words = _drop_options(words[1:]) if wrapper in _PREFIXES else words[1:]
            if wrapper in _STEPS:
                words = []
        if words:
            return _join_words(words)
    return re.sub(r"\s+", " ", command).strip()[:60] or "command"


_STEPS = {"cd", "test", "[", "[[", "sleep", "export", "umask", "source", ".", "exit", "true", "!", "if", "date"}
_PREFIXES = {
    *("nice", "ionice", "chronic", "timeout", "sudo", "env", "flock", "exec", "command", "time", "setsid", "nohup"),
    *("bash", "sh", "dash", "zsh", "python", "python3", "perl", "php", "ruby", "node", "then", "do"),
}
_WRAPPERS = _STEPS | _PREFIXES
_SUBCOMMANDS = {"apt-get", "docker", "systemctl", "git", "certbot", "run-parts", "npm", "service", "find"}


def _drop_options(words: list[str]) -> list[str]:
    """Without options, and without numbers and lock files, which are arguments of the wrapper itself."""
    index = 0
    while index < len(words) and (re.match(r"-|[0-9]+[smhd]?$", words[index]) or words[index].endswith(".lock")):
        if words[index] in {"-c", "-m"}:
            index += 1
            break
        index += 1
    return words[index:]


def _join_words(words: list[str]) -> str:
    program = words[0].strip("'\"(){}$`").rstrip("/").rpartition("/")[2] or words[0]
    more = next((word for word in words[1:] if not word.startswith("-")), "") if program in _SUBCOMMANDS else ""
    return f"{program} {more.strip(chr(39) + chr(34)).rstrip('/').rpartition('/')[2] or more}".strip()[:60]
