"""Prints the profile as tables for docs/security.md, or with the argument `json` in the engine's format."""

import json
import sys

from executor.sandbox.seccomp import build_profile
from executor.sandbox.seccomp.table import ALLOWED, REFUSED, Group


def format_table(groups: tuple[Group, ...]) -> str:
    lines = ["| purpose | reason | calls |", "| --- | --- | --- |"]
    lines += [
        f"| {group.purpose} | {group.why} | {' '.join(f'`{call}`' for call in group.calls)} |" for group in groups
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    shown = (
        json.dumps(build_profile(), indent=1)
        if sys.argv[1:] == ["json"]
        else f"{format_table(ALLOWED)}\n\n{format_table(REFUSED)}"
    )
    sys.stdout.write(shown + "\n")
