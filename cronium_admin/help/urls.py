"""URLs of the documentation."""

from django.urls import path

from cronium_admin.help import views

app_name = "help"
urlpatterns = [
    path("help/", views.show_help, name="list"),
    path("help/<slug:name>/", views.show_document, name="document"),
]
