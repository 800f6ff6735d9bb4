"""Prints the profile for docs/security.md; with `json`, as the engine gets it."""

import json
import sys

from executor.sandbox.seccomp import profile
from executor.sandbox.seccomp.table import ALLOWED, REFUSED, Group


def rows(groups: tuple[Group, ...]) -> str:
    """A Markdown table of these groups."""
    lines = ["| purpose | reason | calls |", "| --- | --- | --- |"]
    lines += [
        f"| {group.purpose} | {group.why} | {' '.join(f'`{call}`' for call in group.calls)} |" for group in groups
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    shown = json.dumps(profile(), indent=1) if sys.argv[1:] == ["json"] else f"{rows(ALLOWED)}\n\n{rows(REFUSED)}"
    sys.stdout.write(shown + "\n")
