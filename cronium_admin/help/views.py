"""The pages of the documentation that ships with the product."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.help.documents import (
    FOR_DEVELOPERS,
    FOR_USERS,
    load_documents,
    render_document,
    search_documents,
)

MAX_QUERY = 120  # characters


@require_safe
@require_project_permission(Permission.VIEW)
def show_help(request: HttpRequest) -> HttpResponse:
    documents = load_documents()
    groups = {
        "Work with jobs": [name for name in FOR_USERS if name in documents],
        "Operate Cronium": [name for name in documents if name not in (*FOR_USERS, *FOR_DEVELOPERS)],
        "Change Cronium": [name for name in FOR_DEVELOPERS if name in documents],
    }
    query = request.GET.get("q", "").replace("\0", "")[:MAX_QUERY].strip()
    listed = [(title, [documents[name] for name in names]) for title, names in groups.items() if names]
    return render(request, "help/list.html", {"groups": listed, "query": query, "found": search_documents(query)})


@require_safe
@require_project_permission(Permission.VIEW)
def show_document(request: HttpRequest, name: str) -> HttpResponse:
    document = load_documents().get(name)
    if document is None:
        raise Http404("There is no such document.")
    return render(request, "help/document.html", {"document": document, "html": render_document(name)})
