"""The routes under /images. They are here, not below, because their warnings depend on registries."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import get_caller, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import Language
from cronium_admin.images.schemas import ImageIn, ImageList, ImageOut
from cronium_admin.images.service import clear_override, describe_image, parse_language, set_override
from cronium_admin.registries.image_warnings import find_warnings

router = Router(tags=["images"], auth=require_permission(Permission.VIEW))


@router.get("", response={200: ImageList, ANY_ERROR: ErrorBody}, summary="The image of each language")
def list_images(request: HttpRequest) -> ImageList:
    return ImageList(items=_build_items(list(Language)))


@router.get("/{slug:language}", response={200: ImageOut, ANY_ERROR: ErrorBody}, summary="One language's image")
def get_image(request: HttpRequest, language: str) -> ImageOut:
    return _build_items([parse_language(language)])[0]


@router.put(
    "/{slug:language}",
    response={200: ImageOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Set a language's override",
)
def put_image(request: HttpRequest, language: str, body: ImageIn) -> ImageOut:
    """Applies to new runs, also if hosts lack the image: see `hosts` and `warnings` in the response."""
    known = parse_language(language)
    set_override(known, body.reference, get_caller(request), body.version)
    return _build_items([known])[0]


@router.delete(
    "/{slug:language}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Remove a language's override",
)
def delete_image(
    request: HttpRequest, language: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Succeeds also without an override."""
    clear_override(parse_language(language), get_caller(request), version)
    return HttpResponse(status=204)


def _build_items(languages: list[Language]) -> list[ImageOut]:
    facts = [describe_image(language) for language in languages]
    presence = find_presence([fact.reference for fact in facts])
    warnings = find_warnings({Language(fact.language): presence[fact.reference] for fact in facts})
    return [ImageOut.build(fact, presence[fact.reference], warnings[Language(fact.language)]) for fact in facts]
