"""Guards the pages: who lacks a view's right gets a 403 page that names the role to ask for."""

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
    """The signed-in person; views run behind LoginRequiredMiddleware, so there is one."""
    return cast(User, request.user)


def check_permission(request: HttpRequest, right: Permission) -> None:
    """Raise PermissionDenied, in a sentence for the person, unless they have `right`."""
    if not get_current_user(request).has_permission(right):
        raise PermissionDenied(explain_refusal(get_current_user(request), right))


def require_permission(right: Permission) -> Callable[[View[P]], View[P]]:
    """Let a view run only for people with `right`."""

    def guard(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            check_permission(request, right)
            return view(request, *args, **kwargs)

        return guarded

    return guard
