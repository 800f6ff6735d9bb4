"""The addresses of the Profiles page."""

from django.urls import path

from cronium_admin.profiles import views

app_name = "profiles"
urlpatterns = [
    path("profiles/", views.profiles, name="list"),
    path("profiles/new/", views.create, name="create"),
    path("profiles/<slug:name>/", views.edit, name="edit"),
    path("profiles/<slug:name>/delete/", views.delete, name="delete"),
]
