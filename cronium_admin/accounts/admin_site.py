"""Django's admin site under /admin/, read-only. Changes go through the services, which enforce their rules."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class ReadOnlyAdminSite(admin.AdminSite):
    site_header = "Cronium: database tables, read-only"
    site_title = "Cronium admin site"
    index_title = "Tables"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Redirects to the sign-in page, which throttles wrong passwords
        return redirect("sign-in")

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account:password")


class ReadOnlyAdminConfig(AdminConfig):
    default_site = "cronium_admin.accounts.admin_site.ReadOnlyAdminSite"


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The base class of every registered model admin."""

    actions = None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Replaces NUL characters in filters: PostgreSQL refuses them, and no stored text contains one
        query = request.GET.copy()
        for name, texts in query.lists():
            query.setlist(name, [text.replace("\0", "\ufffd") for text in texts])
        request.GET = query  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
