"""The packages that a script imports and its image lacks: a proposal for a recipe. Pure."""

import re
from collections.abc import Collection, Iterable

from cronium_admin.images.models import Language
from cronium_admin.images.node_imports import find_npm_package, list_node_names
from cronium_admin.images.python_imports import find_python_package, list_python_modules

MAX_CHARACTERS = 256 * 1024  # of a script; parsing takes about a second for each MB
_PACKAGE_TYPES = {Language.PYTHON: "pypi", Language.NODE: "npm"}
_SYSTEM_PACKAGE = re.compile(r"(?:python3|py3|python)-(.+)")


def suggest_packages(language: str, script: str, installed: Collection[str]) -> list[str]:
    """The packages that `script` needs beside the `installed` ones, by name.

    `installed`: names of packages of the index, such as those of an image's list. A long script, and one with a syntax
    error, has none.
    """
    if len(script) > MAX_CHARACTERS:
        return []
    if language == Language.PYTHON:
        return _suggest_python(script, {_normalize(name) for name in installed})
    if language == Language.NODE:
        needed = {find_npm_package(name) for name in list_node_names(script)}
        return sorted(name for name in needed if name and name not in installed)
    return []


def _suggest_python(script: str, installed: set[str]) -> list[str]:
    needed = {find_python_package(module) for module in list_python_modules(script) or ()}
    missing = {found[0] for found in needed if found and not {_normalize(name) for name in found[1]} & installed}
    return sorted(missing, key=str.lower)


def list_installed(language: str, packages: Iterable[Collection[str]]) -> set[str]:
    """The names for `suggest_packages`, of an image's list of [type, name, version]."""
    wanted = _PACKAGE_TYPES.get(Language(language)) if language in Language.values else None
    names = set()
    for kind, name, *_ in packages:
        if kind == wanted:
            names.add(name)
        elif wanted == "pypi" and kind in ("deb", "apk") and (match := _SYSTEM_PACKAGE.fullmatch(name)):
            names.add(match[1])
    return names


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
