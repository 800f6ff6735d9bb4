"""The URLs of the Images page."""

from django.urls import path

from cronium_admin.images import views

app_name = "images"
urlpatterns = [
    path("images/", views.show_images, name="list"),
    path("images/<slug:language>/override/", views.set_image_override, name="override"),
    path("images/<slug:language>/reset/", views.reset_image_override, name="reset"),
]
