"""URLs of the pages of incidents."""

from django.urls import path

from cronium_admin.expectations import views

app_name = "expectations"
urlpatterns = [
    path("incidents/", views.show_incidents, name="list"),
    path("jobs/<slug:slug>/incident-rows/", views.render_job_incidents, name="of-job"),
]
