"""Permission checks of pages: a user without the permission gets a 403 page that names the role needed."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import Permission

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def get_current_user(request: HttpRequest) -> User:
    # The signed-in user. LoginRequiredMiddleware has already refused unauthenticated clients.
    return cast(User, request.user)


def check_permission(request: HttpRequest, permission: Permission) -> None:
    """Raises PermissionDenied with a message for the user."""
    if not get_current_user(request).has_permission(permission):
        raise PermissionDenied(explain_refusal(get_current_user(request), permission))


def require_permission(permission: Permission) -> Callable[[View[P]], View[P]]:
    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            check_permission(request, permission)
            return view(request, *args, **kwargs)

        return wrapper

    return decorate
