"""The addresses of the pages of variables."""

from django.urls import path

from cronium_admin.variables import views

app_name = "variables"
urlpatterns = [
    path("variables/", views.variable_list, name="list"),
    path("variables/new/", views.new, name="new"),
    path("variables/<str:scope>/<str:name>/", views.variable_page, name="variable"),
    path("variables/<str:scope>/<str:name>/edit/", views.edit, name="edit"),
    path("variables/<str:scope>/<str:name>/delete/", views.delete, name="delete"),
    path("variables/<str:scope>/<str:name>/value.json", views.download, name="download"),
]
