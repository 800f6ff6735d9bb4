"""Users, sessions and API tokens on Django's admin site."""

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.accounts.models import ApiToken, SignIn, User
from cronium_admin.core.line_text import fold_case

admin.site.unregister(Group)  # permissions depend on the role only, so groups have no effect


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("username", "role", "is_active", "must_change_password", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("username",)
    fields = ("username", "role", "is_active", "must_change_password", "date_joined", "last_login")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        # Searches without regard to case in every script; SQLite's own search folds ASCII only
        words = [fold_case(word) for word in search_term.split()]
        names = User.objects.values_list("pk", "username")
        matching_ids = [pk for pk, name in names if all(word in fold_case(name) for word in words)]
        return (queryset.filter(pk__in=matching_ids) if words else queryset), False


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    list_display = ("user", "device", "created_at", "seen_at")
    list_select_related = ("user",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("user",)
    list_select_related = ("user",)
    exclude = ("digest",)
