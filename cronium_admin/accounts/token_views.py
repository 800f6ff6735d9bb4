"""The page of a user's own API tokens."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cronium_admin.accounts import one_time_value
from cronium_admin.accounts.forms import EXPIRES, TokenForm
from cronium_admin.accounts.page_permissions import get_current_user, require_user
from cronium_admin.accounts.token_expiry import parse_expiry
from cronium_admin.accounts.tokens import make_named_token, revoke_token_tree, select_own_tokens
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError


@require_http_methods(["GET", "POST"])
@never_cache
@require_user
def show_tokens(request: HttpRequest) -> HttpResponse:
    user, form = get_current_user(request), TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row, token = make_named_token(user, form.cleaned_data["name"], parse_expiry(form.cleaned_data["expires"]))
        except ApiError as error:
            form.add_error("name", error.message)
        else:
            one_time_value.store_value(request, "token", f"{row.name}\n{token}")
            return redirect("access:tokens")
    stored = one_time_value.pop_value(request, "token") if request.method == "GET" else ""
    context = {
        "form": form,
        "expires": EXPIRES,
        "tokens": select_own_tokens(user).filter(revoked_at=None),
        "now": database_now(),
        "made": stored.rsplit("\n", 1) if stored else None,
        "nav": "access",
        "tab": "tokens",
    }
    return render(request, "accounts/tokens.html", context, status=422 if form.errors else 200)


@require_POST
@require_user
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(select_own_tokens(get_current_user(request)), pk=pk)
    revoke_token_tree(token)
    messages.success(request, f"The token {token.name} is revoked. Requests with it are now refused.")
    return redirect("access:tokens")
