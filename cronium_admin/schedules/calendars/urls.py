"""URLs of the pages of calendars."""

from django.urls import path

from cronium_admin.schedules.calendars import views

app_name = "calendars"
urlpatterns = [
    path("calendars/", views.show_calendars, name="list"),
    path("calendars/new/", views.create_calendar, name="new"),
    path("calendars/preview/", views.preview_calendar, name="preview"),
    path("calendars/<slug:name>/", views.show_calendar, name="calendar"),
    path("calendars/<slug:name>/edit/", views.edit_calendar, name="edit"),
    path("calendars/<slug:name>/delete/", views.delete_calendar, name="delete"),
]
