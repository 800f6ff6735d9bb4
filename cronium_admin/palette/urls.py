"""The addresses of the palette."""

from django.urls import path

from cronium_admin.palette import views

app_name = "palette"
urlpatterns = [
    path("palette/", views.show_palette, name="page"),
    path("palette/entries/", views.render_entries, name="entries"),
]
