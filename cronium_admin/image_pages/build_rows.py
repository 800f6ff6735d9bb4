"""The rows of the tab Builds: the custom images that a user sees."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.accounts.projects import list_projects
from cronium_admin.image_builds.service import find_current_versions, find_latest_versions, list_images
from cronium_admin.image_builds.versions import find_jobs_by_image
from cronium_admin.images.custom import PREFIX
from cronium_admin.images.models import CustomImage, ImageVersion, Language, VersionStatus
from cronium_admin.runs.presentation.reasons import describe_reason

_NAMED_ENTRIES = 6
_NAMED_JOBS = 10


@dataclass(frozen=True)
class BuildRow:
    """`newest` is the newest version that is ready, `latest` the one of the last build."""

    image: CustomImage
    newest: ImageVersion | None
    latest: ImageVersion | None
    jobs: list[str]
    project: Project | None  # None where all images are of one project
    can_build: bool  # the user may build and edit it

    @property
    def recipe(self) -> str:
        return describe_recipe(self.image.recipe)

    @property
    def whole_recipe(self) -> str:
        return "\n".join(list_contents(self.image.recipe))

    @property
    def reason(self) -> str:
        return describe_reason(self.latest.reason) if self.latest else ""

    @property
    def job_query(self) -> str:
        return f"image:{PREFIX}{self.image.name}"

    @property
    def job_words(self) -> str:
        more = len(self.jobs) - _NAMED_JOBS
        return ", ".join(self.jobs[:_NAMED_JOBS]) + (f" and {more} more" if more > 0 else "")

    @property
    def is_building(self) -> bool:
        return self.latest is not None and self.latest.status == VersionStatus.BUILDING


def list_contents(recipe: dict[str, Any]) -> list[str]:
    """The packages of a recipe, and a text for its steps, or for its Dockerfile."""
    if recipe.get("dockerfile"):
        return ["Dockerfile"]
    entries = [entry for name in ("python", "node", "system") for entry in recipe.get(name, ())]
    number = len(recipe.get("steps", ()))
    return entries + ([f"{number} step{'s' if number > 1 else ''}"] if number else [])


def describe_recipe(recipe: dict[str, Any], named: int = _NAMED_ENTRIES) -> str:
    """python + requests, psycopg, libpq5."""
    base, entries = str(recipe.get("base", "")), list_contents(recipe)
    more = [f"{len(entries) - named} more"] if len(entries) > named else []
    label = str(Language(base).label) if base in Language.values else base
    return " + ".join(part for part in (label, ", ".join([*entries[:named], *more])) if part)


def build_image_rows(user: User) -> list[BuildRow]:
    images = list(list_images(user))
    if not images:
        return []
    current, latest, jobs = find_current_versions(images), find_latest_versions(images), find_jobs_by_image(images)
    is_mixed = len({image.project_id for image in images}) > 1
    projects = {project.pk: project for project in list_projects()} if is_mixed else {}
    return [
        BuildRow(
            image=image,
            newest=next((each for each in current.get(image.pk, ()) if each.status == VersionStatus.READY), None),
            latest=latest.get(image.pk),
            jobs=sorted({slug for slug, _ in jobs.get(image.pk, ())}),
            project=projects.get(image.project_id or 0),
            can_build=can(user, Permission.EDIT, image),
        )
        for image in images
    ]


def digest_rows(rows: list[BuildRow]) -> str:
    """A short text that differs when a cell of a build differs."""
    states = [
        (row.image.pk, row.newest and row.newest.number, row.latest and (row.latest.number, row.latest.status))
        for row in rows
    ]
    return sha256(repr(states).encode()).hexdigest()[:16]
