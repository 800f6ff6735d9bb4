"""The addresses of the pages of saved views."""

from django.urls import path

from cronium_admin.jobs import view_views

app_name = "job_views"
urlpatterns = [
    path("job-views/", view_views.list_views, name="list"),
    path("job-views/new/", view_views.add_view, name="new"),
    path("job-views/<int:pk>/", view_views.change_view_name, name="rename"),
    path("job-views/<int:pk>/delete/", view_views.remove_view, name="delete"),
    path("job-views/<int:pk>/default/", view_views.set_default, name="default"),
]
