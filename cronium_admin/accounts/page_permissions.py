"""Permission checks of pages: a user without the permission gets a 403 page that names the role needed.

Each view has one of three decorators: `require_user`, `require_permission` for what no project owns, and
`require_project_permission` for rows of projects, whose views also check the permission on the row.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import HasProject, Permission, can, can_somewhere, may_continue_to_row_check
from cronium_admin.core.errors import ApiError

P = ParamSpec("P")
HAS_CHECK = "has_permission_check"
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def get_current_user(request: HttpRequest) -> User:
    # The signed-in user. LoginRequiredMiddleware has already refused unauthenticated clients.
    return cast(User, request.user)


def _mark_checked(view: View[P]) -> View[P]:
    # `functools.wraps` of outer decorators copies the mark, so that a test finds views without a check
    view.__dict__[HAS_CHECK] = True
    return view


def require_user(view: View[P]) -> View[P]:
    """For pages about the user's own account: any user who is not switched off."""

    @wraps(view)
    def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not get_current_user(request).is_active:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return _mark_checked(wrapper)


def require_permission(permission: Permission) -> Callable[[View[P]], View[P]]:
    """For pages of the whole instance: the user's role in the instance must give `permission`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            user = get_current_user(request)
            if not user.has_permission(permission):
                raise PermissionDenied(explain_refusal(user, permission))
            return view(request, *args, **kwargs)

        return _mark_checked(wrapper)

    return decorate


def require_project_permission(permission: Permission) -> Callable[[View[P]], View[P]]:
    """For pages of rows of projects: refuses users who have `permission` nowhere. The view must read rows through
    `visible_to` and check the permission on the row. An ApiError of these checks becomes a page."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            user = get_current_user(request)
            if not may_continue_to_row_check(user, permission, bool(kwargs)):
                raise PermissionDenied(explain_refusal(user, permission))
            try:
                return view(request, *args, **kwargs)
            except ApiError as error:
                return _answer_refusal(request, error)

        return _mark_checked(wrapper)

    return decorate


def _answer_refusal(request: HttpRequest, error: ApiError) -> HttpResponseBase:
    if error.status == 404:
        raise Http404(error.message) from error
    if error.status == 403:
        raise PermissionDenied(error.message) from error
    context = {"exception": error.message, "heading": "This is not possible", "status": error.status}
    return render(request, "403.html", context, status=error.status)


class Permissions:
    """`can` of templates, such as `can.edit`: the user's permissions on a row, checked when they are read.

    Without a row, for lists whose rows belong to several projects: a permission counts if it holds in any project.
    """

    def __init__(self, user: User, obj: HasProject | None = None) -> None:
        self._user, self._obj = user, obj

    def __getitem__(self, name: str) -> bool:
        permission = Permission[name.upper()]
        if self._obj is None:
            return can_somewhere(self._user, permission)
        return can(self._user, permission, self._obj)
