"""URLs of the Secrets page."""

from django.urls import path

from cronium_admin.secrets import views

app_name = "secrets"
urlpatterns = [
    path("secrets/", views.show_secrets, name="list"),
    path("secrets/new/", views.create_secret, name="create"),
    path("secret/<slug:name>/", views.replace_secret, name="replace"),
    path("secret/<slug:name>/delete/", views.remove_secret, name="delete"),
]
