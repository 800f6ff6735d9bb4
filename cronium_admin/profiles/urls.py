"""URLs of the Profiles page."""

from django.urls import path

from cronium_admin.profiles import views

app_name = "profiles"
urlpatterns = [
    path("profiles/", views.show_profiles, name="list"),
    path("profiles/new/", views.create_profile, name="create"),
    path("profiles/<slug:name>/", views.edit_profile, name="edit"),
    path("profiles/<slug:name>/delete/", views.remove_profile, name="delete"),
]
