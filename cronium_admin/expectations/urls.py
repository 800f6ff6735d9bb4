"""URLs of the pages of incidents and checks."""

from django.urls import path

from cronium_admin.expectations import check_views, views

app_name = "expectations"
urlpatterns = [
    path("incidents/", views.show_incidents, name="list"),
    path("jobs/<slug:slug>/incident-rows/", views.render_job_incidents, name="of-job"),
    path("checks/", check_views.show_checks, name="checks"),
    path("checks/new/", check_views.create_check, name="check-new"),
    path("checks/<int:pk>/", check_views.show_check, name="check"),
    path("checks/<int:pk>/edit/", check_views.edit_check, name="check-edit"),
    path("checks/<int:pk>/switch/", check_views.switch_check, name="check-switch"),
    path("checks/<int:pk>/rotate/", check_views.rotate_check, name="check-rotate"),
    path("checks/<int:pk>/delete/", check_views.delete_check, name="check-delete"),
]
