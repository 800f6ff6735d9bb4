"""The root URL configuration."""

from django.contrib import admin
from django.urls import include, path

from cronium_admin.expectations import ping_views
from cronium_admin.web import api, styleguide

handler500 = "cronium_admin.web.frame.answer_server_error"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    *api.root_urls,
    path("", include("cronium_admin.home.urls")),
    path("", include("cronium_admin.accounts.urls")),
    path("", include("cronium_admin.image_pages.urls")),
    path("", include("cronium_admin.profiles.urls")),
    path("", include("cronium_admin.secrets.urls")),
    path("", include("cronium_admin.jobs.urls")),
    path("", include("cronium_admin.jobs.view_urls")),
    path("", include("cronium_admin.runs.urls")),
    path("", include("cronium_admin.logs.urls")),
    path("", include("cronium_admin.variables.urls")),
    path("", include("cronium_admin.schedules.urls")),
    path("", include("cronium_admin.planning.urls")),
    path("", include("cronium_admin.schedules.calendars.urls")),
    path("", include("cronium_admin.expectations.urls")),
    path("ping/<str:key>", ping_views.receive, name="ping"),
    path("ping/<str:key>/<str:action>", ping_views.receive, name="ping-action"),
    path("", include("cronium_admin.retention.urls")),
    path("", include("cronium_admin.workers.hosts.urls")),
    path("", include("cronium_admin.palette.urls")),
    path("", include("cronium_admin.help.urls")),
    path("styleguide/", styleguide.show_styleguide, name="styleguide"),
]
