"""The palette: a dialog on every page, which loads its entries; without script a page of its own."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.palette.entries import MAX_QUERY, find_entries


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_palette(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "")[:MAX_QUERY]
    context = {"query": query, "entries": find_entries(get_current_user(request), query)}
    return render(request, "palette/page.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_entries(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "")
    return render(
        request, "palette/_entries.html", {"query": query, "entries": find_entries(get_current_user(request), query)}
    )
