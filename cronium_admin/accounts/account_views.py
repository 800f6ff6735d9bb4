"""The pages of a signed-in user's own account: password and sessions, with a link to the API tokens."""

from math import ceil

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cronium_admin.accounts import people, sessions, sign_in_throttle
from cronium_admin.accounts.forms import PasswordForm
from cronium_admin.accounts.page_permissions import get_current_user, require_user
from cronium_admin.accounts.permissions import ROLE_DESCRIPTIONS, Role
from cronium_admin.accounts.tokens import list_active_tokens


@require_safe
@never_cache
@require_user
def show_account(request: HttpRequest) -> HttpResponse:
    user, sign_ins = get_current_user(request), list(sessions.list_sign_ins(get_current_user(request)))
    own_key = request.session.get(sessions.SIGN_IN_KEY)
    if own_key not in [sign_in.pk for sign_in in sign_ins]:
        return _sign_out(request)
    context = {
        "sign_ins": sign_ins,
        "own": own_key,
        "token_count": list_active_tokens(user).count(),
        "duty": ROLE_DESCRIPTIONS[Role(user.role)] if user.role else "",
        "nav": "account",
    }
    return render(request, "accounts/account.html", context)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@never_cache
@require_user
def change_password(request: HttpRequest) -> HttpResponse:
    # A separate page, because a user who must change the password can open no other page
    user = get_current_user(request)
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if wait := ceil(sign_in_throttle.record_user_attempt(user)):
            form.add_error("current", f"Too many wrong passwords. Try again in {wait} second{pluralize(wait)}.")
            page = render(request, "accounts/password.html", {"form": form}, status=429)
            page["Retry-After"] = str(wait)
            return page
        try:
            people.change_own_password(
                user, request.session, form.cleaned_data["current"], form.cleaned_data["password"]
            )
        except sessions.SessionEnded:
            return _sign_out(request)
        except ValidationError as error:
            form.add_error(None, error)
            if "current" not in form.errors:
                sign_in_throttle.clear_user_attempts(user)
        else:
            sign_in_throttle.clear_user_attempts(user)
            update_session_auth_hash(request, user)
            messages.success(request, "Your password is changed. All your other sessions have ended.")
            return redirect("account:page")
    return render(request, "accounts/password.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@require_user
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    try:
        count = sessions.end_others(user, request.session)
    except sessions.SessionEnded:
        return _sign_out(request)
    update_session_auth_hash(request, user)
    messages.success(request, f"{count} other session{pluralize(count)} ended.")
    return redirect("account:page")


@require_POST
@require_user
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_current_user(request)
    epoch = user.session_epoch
    try:
        has_ended = sessions.end_one(user, pk, request.session)
    except sessions.SessionEnded:
        return _sign_out(request)
    if user.session_epoch != epoch and pk != request.session.get(sessions.SIGN_IN_KEY):
        update_session_auth_hash(request, user)
        messages.success(
            request,
            "The session has ended, and so have all your other sessions, because you have ended many one by one.",
        )
    elif has_ended:
        messages.success(request, "The session has ended.")
    else:
        messages.error(request, "This session had already ended.")
    return redirect("account:page")


def _sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign-in")
