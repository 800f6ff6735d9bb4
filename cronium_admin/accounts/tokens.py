"""Creates, finds and revokes API tokens. A token is shown once; only its digest is stored."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from cronium_admin.accounts.models import TOKEN_PREFIX, ApiToken, User, digest_token, has_memberships
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.token_expiry import check_expiry
from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.core.database.outage import outage_log
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import find_line_problem

MAX_PER_PERSON = 200  # valid tokens
# `last_used_at` is only displayed, so a minute's precision is enough and most requests write nothing.
_USE_RECORD_INTERVAL = timedelta(minutes=1)
_FIND_BY_DIGEST = CompiledQuery(
    lambda digest: (
        ApiToken.objects.select_related("user")
        .annotate(asked_at=Now(), is_member=has_memberships("user"))
        .filter(digest=digest)
    ),
    digest=ApiToken._meta.get_field("digest"),
)


def make_token(
    user: User, name: str, expires_at: datetime | None = None, parent: ApiToken | None = None
) -> tuple[ApiToken, str]:
    """Returns the row and the token, which can't be read again. Without `expires_at` the token never expires."""
    name = _check_name(name)
    if not user.is_active:
        raise ApiError(409, "user_inactive", f"The account {user.get_username()} is switched off.")
    check_expiry(expires_at)
    return ApiToken.mint(user, name, expires_at, parent)


def _check_name(name: str) -> str:
    name = name.strip()
    if problem := find_line_problem(name) or (None if 0 < len(name) <= 100 else "Must have 1 to 100 characters."):
        raise ApiError(422, "invalid", f"The token's name: {problem}", {"name": [problem]})
    return name


def make_named_token(
    user: User, name: str, expires_at: datetime | None, parent: ApiToken | None = None
) -> tuple[ApiToken, str]:
    """Like `make_token`, but the name must be unique among the user's valid tokens, else ApiError 409.

    `parent` is the token that authenticated the caller: the new token expires no later and is revoked with it.
    """
    name = _check_name(name)  # before the query: not every character can be searched for
    with transaction.atomic():
        # Serializes creation and revocation of the user's tokens.
        if not User.objects.select_for_update().filter(pk=user.pk).first():
            raise ApiError(401, "unauthenticated", f"The account {user.get_username()} was deleted a moment ago.")
        if parent is not None:
            _check_parent_expiry(parent, expires_at)
        if list_active_tokens(user).count() >= MAX_PER_PERSON:
            text = f"You have {MAX_PER_PERSON} valid tokens, the maximum. Revoke tokens that are no longer used."
            raise ApiError(409, "too_many", text)
        if list_active_tokens(user).filter(name=name).exists():
            text = f"You have a token {name} already. Choose another name, or revoke that token first."
            raise ApiError(409, "name_taken", text, {"name": [text]})
        return make_token(user, name, expires_at, parent)


def _check_parent_expiry(parent: ApiToken, expires_at: datetime | None) -> None:
    if not list_active_tokens(parent.user).filter(pk=parent.pk).exists():
        raise ApiError(401, "token_revoked", f"The API token {parent} was revoked or has expired. Use another one.")
    if parent.expires_at is not None and (expires_at is None or expires_at > parent.expires_at):
        text = (
            f"The token that you use ends at {parent.expires_at:%Y-%m-%dT%H:%M:%SZ}. "
            "A token created with it can't expire later. Set an earlier time, or omit it."
        )
        raise ApiError(422, "invalid", f"expires_at: {text}", {"expires_at": [text]})


def find_token_user(token: str) -> User:
    return find_token(token).user


def find_token(token: str) -> ApiToken:
    """The row of `token`, with its user.

    Raises ApiError 401 if it is unknown, revoked or expired, or if its user is switched off.
    """
    row = _FIND_BY_DIGEST.fetch_first(digest=digest_token(token)) if token.startswith(TOKEN_PREFIX) else None
    if row is None:
        raise ApiError(401, "token_unknown", "Unknown API token. Create one with `manage.py token create`.")
    if row.revoked_at is not None:
        raise ApiError(401, "token_revoked", f"The API token {row} was revoked. Use another token.")
    if row.expires_at is not None and row.expires_at <= row.asked_at:
        raise ApiError(401, "token_expired", f"The API token {row} has expired. Create a new one.")
    if not row.user.is_active:
        raise ApiError(401, "user_inactive", f"The account of the API token {row} is switched off.")
    if row.last_used_at is None or row.last_used_at < row.asked_at - _USE_RECORD_INTERVAL:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _USE_RECORD_INTERVAL)
        with outage_log.tolerate("noting when a token was used"):
            ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=Now())
    row.user.has_memberships = row.is_member
    return row


def select_own_tokens(user: User) -> QuerySet[ApiToken]:
    # Also expired and revoked ones
    return ApiToken.objects.filter(user=user)


def list_active_tokens(user: User) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), user=user, revoked_at=None)


def revoke_token_tree(token: ApiToken) -> bool:
    """Revokes `token` and all tokens created with it, at any depth. Returns False if it was already revoked."""
    with transaction.atomic():
        User.objects.select_for_update().filter(
            pk=token.user_id
        ).first()  # no token is created with it at the same time
        count, ids = 0, [token.pk]
        while ids:
            count += ApiToken.objects.filter(pk__in=ids, revoked_at=None).update(revoked_at=Now())
            ids = list(ApiToken.objects.filter(parent__in=ids).values_list("pk", flat=True))
        return bool(count)


def list_visible_tokens(user: User) -> QuerySet[ApiToken]:
    rows = ApiToken.objects.select_related("user", "parent").filter(revoked_at=None)
    return rows if user.has_permission(Permission.ADMIN) else rows.filter(user=user)


def find_own_token(user: User, pk: int) -> ApiToken:
    """A token that `user` may revoke, including revoked ones. Raises ApiError 404 for any other."""
    rows = ApiToken.objects.select_related("user").filter(pk=min(pk, 2**62))
    token = (rows if user.has_permission(Permission.ADMIN) else rows.filter(user=user)).first()
    if token is None:
        raise ApiError(404, "not_found", f"There is no token {min(pk, 2**62)} that you may revoke.")
    return token
