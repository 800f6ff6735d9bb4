"""The addresses of the pages of jobs."""

from django.urls import path

from cronium_admin.jobs import editor_views, image_views, key_views, list_views, pin_views, views

app_name = "jobs"
urlpatterns = [
    path("jobs/", list_views.list_jobs, name="list"),
    path("jobs/new/", editor_views.add_job, name="new"),
    path("job-rows/", list_views.render_job_rows, name="rows"),
    path("job-image/", image_views.render_image_info, name="image-info"),
    path("job-key/", key_views.render_key, name="try-key"),
    path("job-states/", list_views.render_live_cells, name="live"),
    path("jobs/<slug:slug>/", views.show_job, name="job"),
    path("jobs/<slug:slug>/runs/", views.render_run_rows, name="runs"),
    path("jobs/<slug:slug>/runs/<int:number>/", views.redirect_to_run, name="numbered"),
    path("jobs/<slug:slug>/edit/", editor_views.edit_job, name="edit"),
    path("jobs/<slug:slug>/pin/", pin_views.pin_job, name="pin"),
    path("jobs/<slug:slug>/delete/", editor_views.remove_job, name="delete"),
]
