"""Django's back office under /admin/: rows to look at. Changes are made where their rules are kept."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class BackOffice(admin.AdminSite):
    site_header = "Cronium: rows of the database, read only"
    site_title = "Cronium back office"
    index_title = "Tables"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page, with its lock after wrong passwords."""
        return redirect("sign-in")

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account:password")


class BackOfficeConfig(AdminConfig):
    default_site = "cronium_admin.accounts.backoffice.BackOffice"


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The base of all that is registered."""

    actions = None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """No stored text holds a NUL, and PostgreSQL refuses to look for one."""
        asked = request.GET.copy()
        for name, texts in asked.lists():
            asked.setlist(name, [text.replace("\0", "\ufffd") for text in texts])
        request.GET = asked  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
