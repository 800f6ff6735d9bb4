"""The API routes under /tokens. Only the response that creates a token contains its value."""

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_api_token, get_caller, require_user
from cronium_admin.accounts.models import ApiToken
from cronium_admin.accounts.schemas import TokenIn, TokenItem, TokenList, TokenMade
from cronium_admin.accounts.token_expiry import parse_expiry
from cronium_admin.accounts.tokens import find_own_token, make_named_token, revoke_token_tree
from cronium_admin.accounts.tokens import list_visible_tokens as rows
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ANY_ERROR, ErrorBody

router = Router(tags=["tokens"], auth=require_user())
DEFAULT_LIFETIME = timedelta(days=30)


@router.get("", response={200: TokenList, ANY_ERROR: ErrorBody}, summary="Your tokens; all tokens for administrators")
def list_tokens(request: HttpRequest) -> TokenList:
    """Revoked tokens are not listed."""
    return TokenList(items=[TokenItem.from_token(token) for token in rows(get_caller(request))])


@router.post("", response={201: TokenMade, ANY_ERROR: ErrorBody}, summary="Create a token")
def make_token(request: HttpRequest, body: TokenIn) -> Status[TokenMade]:
    """The value is shown only once. A token created with another token is revoked with it, and expires no later."""
    parent = get_api_token(request)
    has_expiry = "expires_at" in body.model_fields_set
    expires_at = parse_expiry(body.expires_at or "") if has_expiry else _get_default_expiry(parent)
    row, value = make_named_token(get_caller(request), body.name, expires_at, parent)
    return Status(201, TokenMade.from_token_and_value(row, value))


@router.delete("/{int:pk}", response={204: None, ANY_ERROR: ErrorBody}, summary="Revoke a token")
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Your own token; administrators may revoke any. Tokens created with it are revoked too."""
    revoke_token_tree(find_own_token(get_caller(request), pk))
    return HttpResponse(status=204)


def _get_default_expiry(parent: ApiToken | None) -> datetime:
    default = database_now() + DEFAULT_LIFETIME
    return min(default, parent.expires_at) if parent and parent.expires_at else default
