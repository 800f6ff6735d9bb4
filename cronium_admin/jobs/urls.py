"""The addresses of the pages of jobs."""

from django.urls import path

from cronium_admin.jobs import views

app_name = "jobs"
urlpatterns = [
    path("jobs/", views.job_list, name="list"),
    path("jobs/new/", views.new, name="new"),
    path("job-rows/", views.job_rows, name="rows"),
    path("job-states/", views.live, name="live"),
    path("jobs/<slug:slug>/", views.job_page, name="job"),
    path("jobs/<slug:slug>/runs/", views.run_rows, name="runs"),
    path("jobs/<slug:slug>/runs/<int:number>/", views.numbered, name="numbered"),
    path("jobs/<slug:slug>/edit/", views.edit, name="edit"),
    path("jobs/<slug:slug>/delete/", views.delete, name="delete"),
]
