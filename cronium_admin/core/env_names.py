"""The rules for names and sizes of a run's environment variables. Pure."""

import re

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# They select the programs and libraries that run, or carry values that Cronium passes to the script.
RESERVED_NAMES = frozenset(
    {
        *("PATH", "ENV", "BASH_ENV", "IFS", "HOME", "HOSTNAME", "PWD", "SHELLOPTS", "NODE_OPTIONS"),
        "POSIXLY_CORRECT",  # with it bash ignores BASH_ENV, so the helpers are missing
    }
)
# The shell sets these itself, and most are read-only. A script that is given one of them fails at its start or never
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
MAX_ENTRY_BYTES = 128 * 1024 - 1  # of `NAME=value`; the kernel's limit is one byte more, for the NUL at the end
RESERVED_PREFIXES = ("CRONIUM_", "LD_", "BASH_FUNC_", "GCONV_")


def find_env_name_problem(name: str) -> str | None:
    if not _ENV_NAME.fullmatch(name):
        return f"{name[:40]!r} is not a variable name: letters, digits and _, not beginning with a digit, at most 128."
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        return f"{name} is reserved: it decides how the sandbox itself works. Choose another name."
    if name in SHELL_NAMES:
        return f"{name} is set by the shell itself, so its value would be lost or cause an error. Choose another name."
    return None


def find_env_size_problem(name: str, value: str) -> str | None:
    size = len(name.encode()) + 1 + len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_ENTRY_BYTES:
        return (
            f"{name} has {size:,} bytes with its name; Linux allows at most {MAX_ENTRY_BYTES:,} bytes for a variable. "
            "Pass large data as input."
        )
    return None
