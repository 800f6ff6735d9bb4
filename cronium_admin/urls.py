"""Where every address leads. Wiring only."""

from django.contrib import admin
from django.urls import path

from cronium_admin import api

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
]
