#!/usr/bin/env python
"""Checks that modules that answer requests read rows only through `visible_to(user)`. `make lint` runs it.

Rows of the whole instance, such as profiles and users, have service functions in their room.
"""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Modules that answer HTTP requests and WebSockets, or render parts of pages.
PATTERNS = (
    *("views.py", "*_views.py", "api.py", "*_api.py", "forms.py", "schemas.py", "middleware.py", "urls.py"),
    *("consumers.py", "http_stream.py", "download.py", "frame.py", "templatetags/*.py"),
)
MANAGERS = frozenset({"objects", "_default_manager", "_base_manager", "default_manager", "base_manager"})
SHORTCUTS = frozenset({"get_object_or_404", "get_list_or_404", "aget_object_or_404", "aget_list_or_404"})
GIVERS = frozenset({"get_model", "QuerySet", "ProjectQuerySet", "cursor"})  # give rows or models without a manager


def answers_requests(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) or fnmatch(path.as_posix(), f"*/{pattern}") for pattern in PATTERNS)


def find_problems(source: str) -> Iterator[tuple[int, str]]:
    """Line and message of each read of rows that does not go through `visible_to`."""
    tree = ast.parse(source)
    checked = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "visible_to"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in MANAGERS and id(node) not in checked:
            yield node.lineno, f"`.{node.attr}` without `.visible_to(user)`"
        elif isinstance(node, ast.Constant) and node.value in MANAGERS:
            yield node.lineno, f"{node.value!r} as text"
        elif isinstance(node, ast.Call):
            yield from _find_call_problems(node)


def _find_call_problems(call: ast.Call) -> Iterator[tuple[int, str]]:
    name = _get_name(call.func)
    given = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "klass")]
    if name in SHORTCUTS and given and _is_model(given[0]):
        yield call.lineno, f"`{name}` of a model: give it rows of `visible_to(user)` or of a service function"
    elif name in GIVERS:
        yield call.lineno, f"`{name}`: a service function gives the rows"


def _get_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_model(node: ast.expr) -> bool:
    return _get_name(node)[:1].isupper()


def main() -> int:
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path in sorted((ROOT / "cronium_admin").rglob("*.py"))
        if answers_requests(path)
        for line, message in find_problems(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(problems), file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
