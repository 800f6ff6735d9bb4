"""The routes under /images."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import caller, needs
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import DELETED_VERSION
from cronium_admin.core.errors import ERRORS, ErrorBody
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import Language
from cronium_admin.images.schemas import ImageIn, ImageList, ImageOut
from cronium_admin.images.service import clear_override, find_warnings, image_facts, known_language, set_override

router = Router(tags=["images"], auth=needs(May.SEE))


@router.get("", response={200: ImageList, ERRORS: ErrorBody}, summary="The image of each language")
def list_images(request: HttpRequest) -> ImageList:
    return ImageList(items=_described(list(Language)))


@router.get("/{slug:language}", response={200: ImageOut, ERRORS: ErrorBody}, summary="One language's image")
def get_image(request: HttpRequest, language: str) -> ImageOut:
    return _described([known_language(language)])[0]


@router.put(
    "/{slug:language}",
    response={200: ImageOut, ERRORS: ErrorBody},
    auth=needs(May.ADMIN),
    summary="Set a language's override",
)
def put_image(request: HttpRequest, language: str, body: ImageIn) -> ImageOut:
    """It counts from the next run on, wherever the image is: see `hosts` and `warnings` of the answer."""
    known = known_language(language)
    set_override(known, body.reference, caller(request), body.version)
    return _described([known])[0]


@router.delete(
    "/{slug:language}",
    response={204: None, ERRORS: ErrorBody},
    auth=needs(May.ADMIN),
    summary="Remove a language's override",
)
def delete_image(
    request: HttpRequest, language: str, version: Annotated[int | None, Query(description=DELETED_VERSION)] = None
) -> HttpResponse:
    """Done as well when there was none."""
    clear_override(known_language(language), caller(request), version)
    return HttpResponse(status=204)


def _described(languages: list[Language]) -> list[ImageOut]:
    facts = [image_facts(language) for language in languages]
    presence = find_presence([fact.reference for fact in facts])
    return [
        ImageOut.of(fact, presence[fact.reference], find_warnings(Language(fact.language), presence[fact.reference]))
        for fact in facts
    ]
