"""The routes under /tokens. A token's value stands in the one answer that makes it."""

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_api_token, get_caller, require_permission
from cronium_admin.accounts.models import ApiToken
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.schemas import TokenIn, TokenItem, TokenList, TokenMade
from cronium_admin.accounts.token_expiry import parse_expiry
from cronium_admin.accounts.tokens import find_own_token, make_named_token, revoke_token_tree
from cronium_admin.accounts.tokens import list_visible_tokens as rows
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ERROR_STATUSES, ErrorBody

router = Router(tags=["tokens"], auth=require_permission(Permission.VIEW))
DEFAULT_LIFETIME = timedelta(days=30)


@router.get("", response={200: TokenList, ERROR_STATUSES: ErrorBody}, summary="Your tokens; for administrators all")
def list_tokens(request: HttpRequest) -> TokenList:
    """Without those that were revoked."""
    return TokenList(items=[TokenItem.from_token(token) for token in rows(get_caller(request))])


@router.post("", response={201: TokenMade, ERROR_STATUSES: ErrorBody}, summary="Make a token of yours")
def make_token(request: HttpRequest, body: TokenIn) -> Status[TokenMade]:
    """Its value is shown this once. Made through another token it ends no later, and is revoked with that one."""
    parent = get_api_token(request)
    given = "expires_at" in body.model_fields_set
    expires_at = parse_expiry(body.expires_at or "") if given else _default_expiry(parent)
    row, value = make_named_token(get_caller(request), body.name, expires_at, parent)
    return Status(201, TokenMade.from_token_and_value(row, value))


@router.delete("/{int:pk}", response={204: None, ERROR_STATUSES: ErrorBody}, summary="Revoke a token")
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """One of your own; for administrators any. With it end the tokens that were made through it."""
    revoke_token_tree(find_own_token(get_caller(request), pk))
    return HttpResponse(status=204)


def _default_expiry(parent: ApiToken | None) -> datetime:
    ends = database_now() + DEFAULT_LIFETIME
    return min(ends, parent.expires_at) if parent and parent.expires_at else ends
