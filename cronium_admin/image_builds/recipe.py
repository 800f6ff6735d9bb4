"""The recipe of a custom image: its form, its checks, and its digest. Pure."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from packaging.requirements import InvalidRequirement, Requirement

from cronium_admin.image_builds.dockerfile.model import Dockerfile
from cronium_admin.image_builds.dockerfile.parse import DockerfileError, normalize_text, parse_dockerfile
from cronium_admin.images.models import Language
from cronium_admin.images.reference import validate_reference

MAX_PACKAGES, MAX_PACKAGE_LENGTH = 100, 200
MAX_STEPS, MAX_STEP_BYTES = 20, 8 * 1024
_MAX_PROBLEMS = 5  # errors reported for one list
# Debian's and Alpine's names, and a version of either: policy 5.6.7 and 5.6.12; apk has `name~version` too.
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9+._-]*(?:[=~][A-Za-z0-9][A-Za-z0-9.+~:_-]*)?")
# A name of the npm registry, and a tag or a range of versions. Paths, URLs and aliases have characters that are not
# in it.
_NPM = re.compile(
    r"(?P<name>(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*)"
    r"(?:@(?P<range>[A-Za-z0-9^~<>=*][A-Za-z0-9.^~<>=|*+ -]*))?"
)
_STEP_NAMES = {"python": "Python packages", "node": "npm packages", "system": "system packages"}


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. The lists have the entries as they were written, without white space around them."""

    base: str
    python: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    dockerfile: str = ""  # instead of packages and steps

    @property
    def values(self) -> dict[str, Any]:
        """The stored form, without empty lists."""
        lists = {"python": self.python, "system": self.system, "node": self.node, "steps": self.steps}
        text = {"dockerfile": self.dockerfile} if self.dockerfile else {}
        return {"base": self.base, **{name: list(entries) for name, entries in lists.items() if entries}, **text}

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def imports(self) -> list[str]:
        """The names of the packages that a script of the base language imports."""
        if self.base == Language.PYTHON:
            return [Requirement(text).name for text in self.python]
        if self.base == Language.NODE:
            return [parse_npm_name(text) for text in self.node]
        return []


def load_recipe(values: Any) -> Recipe:
    """From the stored form, which was checked when it was stored."""
    lists = {name: tuple(values.get(name, ())) for name in ("python", "system", "node", "steps")}
    return Recipe(values["base"], **lists, dockerfile=values.get("dockerfile", ""))


def parse_npm_name(text: str) -> str:
    match = _NPM.fullmatch(text)
    return match["name"] if match else text


def parse_recipe(values: Any) -> Recipe:
    """Raises ValidationError by field: `recipe.base`, `recipe.python`, ..."""
    if not isinstance(values, dict):
        raise _make_error("recipe", 'Must be an object such as {"base": "python", "python": ["requests==2.*"]}.')
    known = ("base", "python", "system", "node", "steps", "dockerfile")
    if unknown := sorted(str(name)[:40] for name in set(values) - set(known)):
        raise _make_error("recipe", f"Has no field {', '.join(unknown[:5])}. It has {', '.join(known)}.")
    base = values.get("base")
    if base not in Language.values:
        raise _make_error("recipe.base", f"Must be one of {', '.join(Language.values)}.")
    problems: dict[str, list[str]] = {}
    lists = {
        name: _check_list(name, values.get(name), check, problems)
        for name, check in {"python": _check_python, "system": _check_system, "node": _check_npm}.items()
    }
    lists["steps"] = _check_list("steps", values.get("steps"), _check_step, problems)
    for name in ("python", "node"):
        if lists[name] and base != name:
            text = f"Only an image with the base {name} has {_STEP_NAMES[name]}; the base of this one is {base}."
            problems.setdefault(f"recipe.{name}", []).append(text)
    dockerfile = _check_dockerfile(values.get("dockerfile"), lists, problems)
    if not problems and not dockerfile and not any(lists.values()):
        problems["recipe"] = ["Is empty. Name at least one package or step; without any, jobs need no custom image."]
    if problems:
        raise ValidationError({name: [ValidationError(text) for text in texts] for name, texts in problems.items()})
    return Recipe(str(base), **lists, dockerfile=dockerfile)


def _check_dockerfile(value: Any, lists: dict[str, tuple[str, ...]], problems: dict[str, list[str]]) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        problems["recipe.dockerfile"] = ["Must be the text of a Dockerfile."]
        return ""
    text = normalize_text(value)
    others = [name for name, entries in lists.items() if entries]
    if text and others:
        problems["recipe.dockerfile"] = [
            f"Stands instead of packages and steps, and this recipe has {', '.join(others)} too. Do their work in RUN, "
            "or leave the Dockerfile out."
        ]
        return ""
    try:
        if text:
            _check_base(parse_dockerfile(text))
    except DockerfileError as error:
        problems["recipe.dockerfile"] = error.problems
    return text


def _check_base(dockerfile: Dockerfile) -> None:
    try:
        validate_reference(dockerfile.base)
    except ValidationError as error:
        raise DockerfileError([f"Line {dockerfile.base_line}: FROM: {' '.join(error.messages)}"]) from None


def _make_error(field: str, text: str) -> ValidationError:
    return ValidationError({field: [ValidationError(text)]})


def _check_list(name: str, values: Any, check: Callable[[str], str], problems: dict[str, list[str]]) -> tuple[str, ...]:
    field, most = f"recipe.{name}", MAX_STEPS if name == "steps" else MAX_PACKAGES
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(entry, str) for entry in values):
        problems[field] = ["Must be a list of texts."]
        return ()
    if len(values) > most:
        problems[field] = [f"{len(values)} entries; at most {most} are allowed."]
        return ()
    entries = [entry.strip() for entry in values]
    found = [f"Entry {number}: {problem}" for number, entry in enumerate(entries, 1) if (problem := check(entry))]
    if name != "steps":
        found += [f"{entry} is listed twice." for entry in dict.fromkeys(entries) if entries.count(entry) > 1]
    if found:
        more = [f"And {len(found) - _MAX_PROBLEMS} more."] if len(found) > _MAX_PROBLEMS else []
        problems[field] = found[:_MAX_PROBLEMS] + more
    return tuple(entries)


def _find_length_problem(text: str) -> str:
    if not text:
        return "Is empty."
    if len(text) > MAX_PACKAGE_LENGTH:
        return f"Has {len(text)} characters; at most {MAX_PACKAGE_LENGTH} are allowed."
    if not text.isprintable() or not text.isascii():
        return f"{text[:40]!a} has a character that no package name has."
    return ""


def _check_python(text: str) -> str:
    if problem := _find_length_problem(text):
        return problem
    example = "Write a name and, if you like, versions, such as requests==2.* or uvicorn[standard]>=0.30,<1."
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"{text[:60]!r} is no requirement of pip (PEP 508). {example}"
    if requirement.url is not None:
        return f"{text[:60]!r} names a URL; packages come from the configured index only. {example}"
    return ""


def _check_system(text: str) -> str:
    if problem := _find_length_problem(text):
        return problem
    if not _SYSTEM.fullmatch(text):
        return (
            f"{text[:60]!r} is no package name of Debian or Alpine. Write a name in lower case, such as libpq5, or "
            "with an exact version, such as libpq5=17.6-0+deb13u1."
        )
    return ""


def _check_npm(text: str) -> str:
    if problem := _find_length_problem(text):
        return problem
    if not _NPM.fullmatch(text):
        return (
            f"{text[:60]!r} is no package of an npm registry. Write a name and, if you like, a range of versions, such "
            "as lodash@^4.17 or @types/node@22; paths, URLs and git are not allowed."
        )
    return ""


def _check_step(text: str) -> str:
    if not text:
        return "Is empty."
    if len(text.encode("utf-8", "surrogatepass")) > MAX_STEP_BYTES:
        return f"Has more than {MAX_STEP_BYTES:,} bytes."
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "Has a NUL character or half a surrogate pair, which no script can contain."
    return ""
