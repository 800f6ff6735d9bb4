"""Which names an environment variable of a run may have. Pure."""

import re

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What decides which program or library really runs, or what Cronium itself tells the script.
RESERVED_NAMES = frozenset(
    {
        *("PATH", "ENV", "BASH_ENV", "IFS", "HOME", "HOSTNAME", "PWD", "SHELLOPTS", "NODE_OPTIONS"),
        "POSIXLY_CORRECT",  # bash then reads no BASH_ENV, and the helpers are not there
    }
)
# A shell sets these itself and holds most of them read-only: a script that is given one ends at its start, or never
# sees the value.
SHELL_NAMES = frozenset(
    {
        *("UID", "EUID", "PPID", "BASHOPTS", "GROUPS", "BASH", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV"),
        *("BASH_ARGV0", "BASH_CMDS", "BASH_COMMAND", "BASH_EXECUTION_STRING", "BASH_LINENO", "BASH_REMATCH"),
        *("BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "BASH_VERSION", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS"),
        *("FUNCNAME", "LINENO", "PIPESTATUS", "SRANDOM", "RANDOM", "SECONDS", "BASH_MONOSECONDS", "BASH_TRAPSIG"),
        *("HISTCMD", "COMP_WORDBREAKS", "SHLVL", "OLDPWD", "OPTIND", "OPTERR", "PS1", "PS2", "_"),
    }
)
MAX_ENTRY_BYTES = 128 * 1024 - 1  # of `NAME=value`: the kernel takes no longer one, with the NUL that ends it
RESERVED_PREFIXES = ("CRONIUM_", "LD_", "BASH_FUNC_", "GCONV_")


def find_env_name_problem(name: str) -> str | None:
    """Why `name` can't be a variable's name, in a sentence; None when it can."""
    if not _ENV_NAME.fullmatch(name):
        return f"{name[:40]!r} is not a variable name: letters, digits and _, not beginning with a digit, at most 128."
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        return f"{name} is reserved: it decides how the sandbox itself works. Choose another name."
    if name in SHELL_NAMES:
        return f"{name} is set by the shell itself, so a value given to it is an error or lost. Choose another name."
    return None


def find_env_size_problem(name: str, value: str) -> str | None:
    """Why no program can be started with this variable, in a sentence; None when one can."""
    size = len(name.encode()) + 1 + len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_ENTRY_BYTES:
        return (
            f"{name} has {size:,} bytes with its name; Linux starts no program with one over {MAX_ENTRY_BYTES:,}. "
            "Put large data into the input."
        )
    return None
