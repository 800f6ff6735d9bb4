"""The pages of access: a person's own API tokens."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cronium_admin.access.forms import TokenForm
from cronium_admin.access.guard import needs, user_of
from cronium_admin.access.models import ApiToken
from cronium_admin.access.roles import May
from cronium_admin.access.service import make_token, revoke
from cronium_admin.errors import Refused


@never_cache
@require_http_methods(["GET", "POST"])
@needs(May.SEE)
def tokens(request: HttpRequest) -> HttpResponse:
    """The list; a POST makes a token and shows it in this one answer, which nothing stores."""
    form = TokenForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = make_token(user_of(request), form.cleaned_data["name"])
            form = TokenForm()
        except Refused as error:
            form.add_error("name", error.message)
    rows = ApiToken.objects.filter(user=user_of(request), revoked_at=None)
    context = {"form": form, "tokens": rows, "made": made, "nav": "access"}
    return render(request, "access/tokens.html", context, status=422 if form.errors else 200)


@require_POST
@needs(May.SEE)
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, user=user_of(request))
    revoke(token)
    messages.success(request, f"The token {token.name} is revoked: from now on it opens nothing.")
    return redirect("access:tokens")
