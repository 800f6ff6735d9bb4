"""The versions of a custom image in words: why each stays or goes, its checks and its packages."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from cronium_admin.image_builds.recipe import parse_npm_name
from cronium_admin.image_builds.retention import explain_versions
from cronium_admin.images.models import CustomImage, ImageVersion, Language, VersionStatus

TYPES = {"pypi": "Python", "npm": "npm", "deb": "Debian", "apk": "Alpine"}
_NAMED_JOBS = 5
Jobs = Sequence[tuple[str, int | None]]  # slug, and the number that the job names


@dataclass(frozen=True)
class VersionRow:
    """`why`: why its image stays, or that it may go; empty for a version without an image."""

    version: ImageVersion
    why: str
    may_go: bool
    can_remove: bool
    is_newest: bool


@dataclass(frozen=True)
class PackageChange:
    """`before` is empty for an added package, `after` for a removed one."""

    name: str
    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class PackageLists:
    """The packages of a version, as rows of kind, name and version. `direct` are those that the recipe names."""

    direct: list[tuple[str, str, str]]
    others: list[tuple[str, str, str]]
    changes: list[PackageChange]
    compared_with: int | None  # the number of the version before


def build_version_rows(image: CustomImage, versions: Iterable[ImageVersion], jobs: Jobs) -> list[VersionRow]:
    verdicts = {verdict.version.number: verdict for verdict in explain_versions([image])}
    newest = max(verdicts, default=0)
    rows = []
    for version in versions:
        verdict = verdicts.get(version.number)
        is_named = any(number == version.number for _, number in jobs)
        can_remove = verdict is not None and not version.pinned and not is_named
        why, may_go = (verdict.why, not verdict.is_needed) if verdict else ("", False)
        rows.append(VersionRow(version, why.removeprefix("it is "), may_go, can_remove, version.number == newest))
    return rows


def list_jobs(slugs: Sequence[str]) -> str:
    """the job a; the jobs a, b and 3 more."""
    names = sorted(set(slugs))
    more = f" and {len(names) - _NAMED_JOBS} more" if len(names) > _NAMED_JOBS else ""
    return f"the job{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMED_JOBS])}{more}"


def describe_checks(version: ImageVersion) -> list[dict[str, Any]]:
    language = Language(version.recipe.get("base", "bash")).label
    words = {"start": f"starts {language}", "helper": "loads the helper cronium", "setuid": "has no setuid files"}
    return [
        {
            "passed": bool(check.get("passed")),
            "found": str(check.get("found", "")),
            "words": _describe_check(check, words),
        }
        for check in version.smoke
    ]


def _describe_check(check: dict[str, Any], words: dict[str, str]) -> str:
    name = str(check.get("name", ""))
    return words.get(name) or re.sub("^import ", "imports ", name)


def build_package_lists(version: ImageVersion) -> PackageLists:
    rows = [(TYPES.get(kind, kind), name, number) for kind, name, number in version.packages]
    names = _list_direct(version.recipe)
    direct = [row for row in rows if (row[0], _normalize(row[1], row[0])) in names]
    named, before = set(direct), _find_before(version) if rows else None
    return PackageLists(
        direct=direct,
        others=[row for row in rows if row not in named],
        changes=_compare(before.packages, version.packages) if before else [],
        compared_with=before.number if before else None,
    )


def _find_before(version: ImageVersion) -> ImageVersion | None:
    """The version before that has a list of packages."""
    made = version.image.versions.filter(
        number__lt=version.number, status__in=(VersionStatus.READY, VersionStatus.REMOVED)
    )
    return made.only("number", "packages", "image").order_by("-number").first()


def _compare(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> list[PackageChange]:
    old, new = _collect_versions(before), _collect_versions(after)
    return [
        PackageChange(name, TYPES.get(kind, kind), old.get((kind, name), ""), new.get((kind, name), ""))
        for kind, name in sorted({*old, *new}, key=lambda key: (key[1], key[0]))
        if old.get((kind, name)) != new.get((kind, name))
    ]


def _collect_versions(packages: Sequence[Sequence[str]]) -> dict[tuple[str, str], str]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for kind, name, number in packages:
        grouped.setdefault((kind, name), []).append(number)
    return {key: ", ".join(sorted(set(numbers))) for key, numbers in grouped.items()}


def _list_direct(recipe: dict[str, Any]) -> set[tuple[str, str]]:
    names = {("Python", _normalize(_read_requirement(text), "Python")) for text in recipe.get("python", ())}
    names |= {("npm", parse_npm_name(text)) for text in recipe.get("node", ())}
    system = [re.split("[=~]", text)[0] for text in recipe.get("system", ())]
    return names | {(kind, name) for name in system for kind in ("Debian", "Alpine")}


def _read_requirement(text: str) -> str:
    try:
        return Requirement(text).name
    except InvalidRequirement:
        return text


def _normalize(name: str, kind: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower() if kind == "Python" else name
