"""Custom images in words: what a version adds to its base, and what the next version changes. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cronium_admin.images.models import Language

_SHOWN = 4  # packages in one line
_KINDS = (("python", "pypi"), ("node", "npm"), ("system", ""))
_PYTHON_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SYSTEM_NAME = re.compile(r"[^=~]*")
TYPE_LABELS = {"pypi": "Python", "npm": "npm", "deb": "Debian", "apk": "Alpine"}

Package = Sequence[str]  # type, name, version


def describe_version(recipe: Mapping[str, Any], packages: Iterable[Package]) -> str:
    """Such as "python + requests 2.33.1, libpq5"."""
    versions = {(kind, normalize_name(kind, name)): version for kind, name, version in packages}
    entries = []
    for kind, package_type, name in list_direct(recipe):
        version = versions.get((package_type, normalize_name(package_type, name)), "") if kind != "system" else ""
        entries.append(f"{name} {version}".strip())
    if steps := len(recipe.get("steps") or ()):
        entries.append("1 step" if steps == 1 else f"{steps} steps")
    if recipe.get("dockerfile"):
        entries.append("Dockerfile")
    base = str(recipe.get("base", ""))
    return f"{base} + {join_some(entries)}" if entries else base


def list_direct(recipe: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The packages that the recipe names: the recipe's list, the type of package, the name without versions."""
    return [
        (kind, package_type, _read_name(kind, str(text)))
        for kind, package_type in _KINDS
        for text in recipe.get(kind) or ()
    ]


def _read_name(kind: str, text: str) -> str:
    if kind == "node":
        return text[:1] + text[1:].partition("@")[0]
    match = (_PYTHON_NAME if kind == "python" else _SYSTEM_NAME).match(text)
    return match[0] if match else text


def compare_packages(old: Iterable[Package], new: Iterable[Package], recipe: Mapping[str, Any]) -> list[str]:
    """Clauses such as "adds numpy 2.1.0" and "changes requests 2.32.3 to 2.33.1"; the recipe's packages come first."""
    before, after = _collect_by_name(old), _collect_by_name(new)
    direct = {normalize_name(package_type, name) for _, package_type, name in list_direct(recipe)}

    def get_rank(key: tuple[str, str]) -> tuple[bool, str]:
        return (key[1] not in direct, key[1])

    added = [" ".join(after[key]).strip() for key in sorted(after.keys() - before.keys(), key=get_rank)]
    changed = [
        f"{after[key][0]} {before[key][1]} to {after[key][1]}"
        for key in sorted(after.keys() & before.keys(), key=get_rank)
        if before[key][1] != after[key][1]
    ]
    removed = [before[key][0] for key in sorted(before.keys() - after.keys(), key=get_rank)]
    clauses = (("adds", added), ("changes", changed), ("removes", removed))
    return [f"{verb} {join_some(entries)}" for verb, entries in clauses if entries]


def join_some(entries: Sequence[str], shown: int = _SHOWN) -> str:
    more = len(entries) - shown
    return ", ".join(entries[:shown]) + (f" and {more} more" if more > 0 else "")


def get_language_label(language: str) -> str:
    return str(Language(language).label) if language in Language.values else language


def _collect_by_name(packages: Iterable[Package]) -> dict[tuple[str, str], tuple[str, str]]:
    return {(kind, normalize_name(kind, name)): (name, version) for kind, name, version in packages}


def normalize_name(package_type: str, name: str) -> str:
    """The form in which pip (PEP 503) treats two spellings as equal; other names are kept."""
    return re.sub(r"[-_.]+", "-", name).lower() if package_type == "pypi" else name
