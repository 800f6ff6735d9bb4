"""The right to build a Dockerfile, and which base image it gets."""

from django.core.exceptions import ValidationError

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import HasProject, Permission, ProjectId, can
from cronium_admin.core.errors import ApiError
from cronium_admin.image_builds.dockerfile.parse import parse_dockerfile
from cronium_admin.image_builds.recipe import Recipe
from cronium_admin.images.resolution import ImageChoice, resolve_custom, resolve_image
from cronium_admin.registries.rules import find_use_problem

FIELD = "recipe.dockerfile"


class _InProject:
    def __init__(self, project_id: ProjectId) -> None:
        self.project_id = project_id


def can_build_dockerfile(by: User, project_id: ProjectId) -> bool:
    row: HasProject = _InProject(project_id)
    return can(by, Permission.BUILD_DOCKERFILE, row)


def check_dockerfile_right(recipe: Recipe, by: User, project_id: ProjectId) -> None:
    """Raises ApiError 403 if the recipe has a Dockerfile and `by` has no right to build it."""
    if not recipe.dockerfile or can_build_dockerfile(by, project_id):
        return
    refusal = explain_refusal(by, Permission.BUILD_DOCKERFILE, _InProject(project_id))
    text = f"A Dockerfile runs commands as root. {refusal}"
    hint = "Write packages and steps instead, or ask for this right."
    raise ApiError(403, "dockerfile_forbidden", f"{text} {hint}", {FIELD: [text]})


def check_base(recipe: Recipe, project_id: ProjectId) -> None:
    """Raises ValidationError if the project may not use the base image that the Dockerfile names."""
    if not recipe.dockerfile:
        return
    dockerfile = parse_dockerfile(recipe.dockerfile)
    if problem := find_use_problem(dockerfile.base, project_id):
        raise ValidationError({FIELD: ValidationError(f"Line {dockerfile.base_line}: FROM: {problem}")})


def choose_base(recipe: Recipe, project_id: ProjectId) -> ImageChoice:
    """The base image of the next build. Raises ValidationError if the Dockerfile names one that can't be used."""
    if not recipe.dockerfile:
        return resolve_image(recipe.base)
    check_base(recipe, project_id)
    dockerfile = parse_dockerfile(recipe.dockerfile)
    try:
        return resolve_custom(ImageChoice(dockerfile.base, "dockerfile"), project_id)
    except ValidationError as error:
        text = f"Line {dockerfile.base_line}: FROM: {' '.join(error.messages)}"
        raise ValidationError({FIELD: ValidationError(text)}) from None
