"""The addresses of the Secrets page."""

from django.urls import path

from cronium_admin.secrets import views

app_name = "secrets"
urlpatterns = [
    path("secrets/", views.secrets, name="list"),
    path("secrets/new/", views.create, name="create"),
    path("secret/<slug:name>/", views.replace, name="replace"),
    path("secret/<slug:name>/delete/", views.delete, name="delete"),
]
