"""The API routes under /custom-images."""

from typing import Annotated

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.paging import make_cursor, parse_cursor
from cronium_admin.image_builds import service
from cronium_admin.image_builds.launch import start_build
from cronium_admin.image_builds.schemas import (
    CustomImageChange,
    CustomImageIn,
    CustomImageList,
    CustomImageOut,
    SuggestionsIn,
    SuggestionsOut,
    VersionChange,
    VersionOut,
    VersionPage,
)
from cronium_admin.image_builds.versions import find_jobs_by_image
from cronium_admin.images.installed_packages import suggest_for_image
from cronium_admin.images.models import CustomImage, ImageVersion
from cronium_admin.images.reference import validate_reference
from cronium_admin.runs.schemas import RunOut

router = Router(tags=["custom images"], auth=require_project_permission(Permission.VIEW))


def _build_items(images: list[CustomImage]) -> list[CustomImageOut]:
    jobs, versions = find_jobs_by_image(images), service.find_current_versions(images)
    addresses = service.find_registry_addresses(images)
    return [
        CustomImageOut.build(
            image,
            versions.get(image.pk, []),
            sorted({slug for slug, _ in jobs.get(image.pk, [])}),
            addresses.get(image.registry_id, ""),
        )
        for image in images
    ]


def _build_versions(image: CustomImage, versions: list[ImageVersion]) -> list[VersionOut]:
    jobs = find_jobs_by_image([image]).get(image.pk, [])
    return [
        VersionOut.build(image, version, [slug for slug, number in jobs if number == version.number])
        for version in versions
    ]


@router.get("", response={200: CustomImageList, ANY_ERROR: ErrorBody}, summary="All custom images, by name")
def list_custom_images(request: HttpRequest) -> CustomImageList:
    return CustomImageList(items=_build_items(list(service.list_images(get_caller(request)))))


@router.post(
    "",
    response={201: CustomImageOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Create a custom image",
)
def create_custom_image(request: HttpRequest, body: CustomImageIn) -> Status[CustomImageOut]:
    """Builds nothing yet."""
    image = service.create_image(body.to_fields(), get_caller(request))
    return Status(201, _build_items([image])[0])


# Before the routes of one image: its path would be an image's.
@router.post(
    "/suggestions",
    response={200: SuggestionsOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="The packages that a script needs beside its image",
)
def suggest_image_packages(request: HttpRequest, body: SuggestionsIn) -> SuggestionsOut:
    """Compares the imports of a Python or Node.js script with the packages of its image. Stores and builds nothing.

    Imports that a script can do without are left out, such as those in `try` with `except ImportError`.
    """
    project_id, image = choose_project_id(get_caller(request), Permission.EDIT), body.image.strip()
    if image:
        try:
            validate_reference(image)
        except ValidationError as error:
            raise ValidationError({"image": error.messages}) from None
    proposal = suggest_for_image(project_id, body.language.value, body.script, image)
    return SuggestionsOut(
        image=proposal.image, is_known=proposal.packages is not None, packages=list(proposal.packages or ())
    )


@router.get("/{slug:name}", response={200: CustomImageOut, ANY_ERROR: ErrorBody}, summary="One custom image")
def get_custom_image(request: HttpRequest, name: str) -> CustomImageOut:
    return _build_items([service.find_image(get_caller(request), name)])[0]


@router.patch(
    "/{slug:name}",
    response={200: CustomImageOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Change a custom image",
)
def change_custom_image(request: HttpRequest, name: str, body: CustomImageChange) -> CustomImageOut:
    """Changes only the given fields, and builds nothing: versions stay as they were built."""
    image = service.find_image(get_caller(request), name, Permission.EDIT)
    return _build_items([service.edit_image(image, body.to_fields(), get_caller(request), body.version)])[0]


@router.delete(
    "/{slug:name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a custom image with its versions",
)
def remove_custom_image(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """409 while a job names it or a build of it is in progress. Hosts then remove its images."""
    service.delete_image(service.find_image(get_caller(request), name, Permission.EDIT), version)
    return HttpResponse(status=204)


@router.post(
    "/{slug:name}/builds",
    response={202: RunOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Build the next version",
)
def build_custom_image(request: HttpRequest, name: str) -> Status[RunOut]:
    """Answers with the run of the build. 409 while another build of the image is in progress."""
    _, run = start_build(service.find_image(get_caller(request), name, Permission.EDIT), get_caller(request))
    run.refresh_from_db()
    return Status(202, RunOut.from_run(run))


@router.get(
    "/{slug:name}/versions",
    response={200: VersionPage, ANY_ERROR: ErrorBody},
    summary="The versions of a custom image, newest first",
)
def list_image_versions(
    request: HttpRequest,
    name: str,
    after: Annotated[str, Query(max_length=1000, description="`next` of the previous page")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> VersionPage:
    image = service.find_image(get_caller(request), name)
    versions = service.list_versions(image)
    if after:
        versions = versions.filter(number__lt=parse_cursor(after, int)[0])
    rows = list(versions[: limit + 1])
    next_cursor = make_cursor(rows[limit - 1].number) if len(rows) > limit else None
    return VersionPage(items=_build_versions(image, rows[:limit]), next=next_cursor)


@router.get(
    "/{slug:name}/versions/{int:number}",
    response={200: VersionOut, ANY_ERROR: ErrorBody},
    summary="One version of a custom image",
)
def get_image_version(request: HttpRequest, name: str, number: int) -> VersionOut:
    image = service.find_image(get_caller(request), name)
    return _build_versions(image, [service.find_version(image, number)])[0]


@router.patch(
    "/{slug:name}/versions/{int:number}",
    response={200: VersionOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Pin or unpin a version",
)
def change_image_version(request: HttpRequest, name: str, number: int, body: VersionChange) -> VersionOut:
    """A pinned version is not removed because it is old."""
    caller = get_caller(request)
    image = service.find_image(caller, name, Permission.EDIT)
    changed = service.pin_version(image, number, caller, is_pinned=body.pinned, counter=body.version)
    return _build_versions(image, [changed])[0]


@router.delete(
    "/{slug:name}/versions/{int:number}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Remove a version's image",
)
def remove_image_version(
    request: HttpRequest,
    name: str,
    number: int,
    version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None,
) -> HttpResponse:
    """409 for a version that is not ready, that is pinned, or that a job or a live run names."""
    service.remove_version(service.find_image(get_caller(request), name, Permission.EDIT), number, version)
    return HttpResponse(status=204)


@router.get(
    "/{slug:name}/versions/{int:number}/sbom",
    response={200: dict, ANY_ERROR: ErrorBody},
    summary="The packages of a version as a CycloneDX document",
)
def get_image_version_sbom(request: HttpRequest, name: str, number: int) -> HttpResponse:
    text = service.read_sbom(service.find_image(get_caller(request), name), number)
    return HttpResponse(text, content_type="application/vnd.cyclonedx+json")
