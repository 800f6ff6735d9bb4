"""The API routes under /images/policies: when hosts pull an image."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import get_caller, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.registries.policies import (
    delete_image_policy,
    find_policy,
    list_policies,
    parse_image_name,
    set_image_policy,
)
from cronium_admin.registries.rules import resolve_policies
from cronium_admin.registries.schemas import PolicyIn, PolicyList, PolicyOut

router = Router(tags=["images"], auth=require_permission(Permission.VIEW))


@router.get("", response={200: PolicyList, ANY_ERROR: ErrorBody}, summary="The pull policies of single images")
def list_image_policies(request: HttpRequest) -> PolicyList:
    policies = list_policies()
    rules = resolve_policies([policy.image for policy in policies])
    return PolicyList(
        items=[
            PolicyOut.build(policy.image, policy, rules[policy.image].policy, rules[policy.image].rule)
            for policy in policies
        ]
    )


@router.get(
    "/{path:image}", response={200: PolicyOut, ANY_ERROR: ErrorBody}, summary="When hosts pull an image, and why"
)
def get_image_policy(request: HttpRequest, image: str) -> PolicyOut:
    return _build_out(image)


@router.put(
    "/{path:image}",
    response={200: PolicyOut, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Set an image's pull policy",
)
def put_image_policy(request: HttpRequest, image: str, body: PolicyIn) -> PolicyOut:
    """Applies to all tags of the image, instead of its registry's policy."""
    set_image_policy(image, body.policy, get_caller(request), body.version)
    return _build_out(image)


@router.delete(
    "/{path:image}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Remove an image's pull policy",
)
def remove_image_policy(
    request: HttpRequest, image: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Its registry's policy applies again. Succeeds also without a policy."""
    delete_image_policy(image, version)
    return HttpResponse(status=204)


def _build_out(image: str) -> PolicyOut:
    name = parse_image_name(image)
    rule = resolve_policies([name])[name]
    return PolicyOut.build(name, find_policy(name), rule.policy, rule.rule)
