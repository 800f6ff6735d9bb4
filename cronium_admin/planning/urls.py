"""URLs of the week ahead."""

from django.urls import path

from cronium_admin.planning import views

app_name = "planning"
urlpatterns = [
    path("schedules/week/", views.show_week, name="week"),
    path("schedules/week/hint/", views.render_hint, name="hint"),
]
