"""Which names an environment variable of a run may have. Pure."""

import re

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What decides which program or library really runs, or what Cronium itself tells the script.
RESERVED_NAMES = frozenset({"PATH", "ENV", "BASH_ENV", "IFS", "HOME", "HOSTNAME", "PWD", "SHELLOPTS", "NODE_OPTIONS"})
RESERVED_PREFIXES = ("CRONIUM_", "LD_", "BASH_FUNC_", "GCONV_")


def env_name_problem(name: str) -> str | None:
    """Why `name` can't be a variable's name, in a sentence; None when it can."""
    if not _ENV_NAME.fullmatch(name):
        return f"{name[:40]!r} is not a variable name: letters, digits and _, not beginning with a digit, at most 128."
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        return f"{name} is reserved: it decides how the sandbox itself works. Choose another name."
    return None
