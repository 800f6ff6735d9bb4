"""URLs of the pages of variables."""

from django.urls import path

from cronium_admin.variables import views

app_name = "variables"
urlpatterns = [
    path("variables/", views.list_variables, name="list"),
    path("variables/new/", views.create_variable, name="new"),
    path("variables/<str:scope>/<str:name>/", views.show_variable, name="variable"),
    path("variables/<str:scope>/<str:name>/edit/", views.edit_variable, name="edit"),
    path("variables/<str:scope>/<str:name>/delete/", views.delete_variable, name="delete"),
    path("variables/<str:scope>/<str:name>/value.json", views.download_value, name="download"),
]
