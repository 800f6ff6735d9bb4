"""The addresses of the Images page."""

from django.urls import path

from cronium_admin.images import views

app_name = "images"
urlpatterns = [
    path("images/", views.images, name="list"),
    path("images/<slug:language>/override/", views.override, name="override"),
    path("images/<slug:language>/reset/", views.reset, name="reset"),
]
