"""The addresses of the pages of jobs."""

from django.urls import path

from cronium_admin.jobs import editor_views, history_views, image_views, job_views, key_views, list_views, pin_views

app_name = "jobs"
urlpatterns = [
    path("jobs/", list_views.list_jobs, name="list"),
    path("jobs/new/", editor_views.add_job, name="new"),
    path("job-rows/", list_views.render_job_rows, name="rows"),
    path("job-image/", image_views.render_image_info, name="image-info"),
    path("job-key/", key_views.render_key, name="try-key"),
    path("job-states/", list_views.render_live_cells, name="live"),
    path("jobs/<slug:slug>/", job_views.show_job, name="job"),
    path("jobs/<slug:slug>/runs/", job_views.render_run_rows, name="runs"),
    path("jobs/<slug:slug>/durations/", job_views.render_durations, name="durations"),
    path("jobs/<slug:slug>/script/", job_views.show_script, name="script"),
    path("jobs/<slug:slug>/history/", history_views.show_history, name="history"),
    path("jobs/<slug:slug>/history/restore/", history_views.restore, name="restore"),
    path("jobs/<slug:slug>/settings/", job_views.show_settings, name="settings"),
    path("jobs/<slug:slug>/use/", job_views.show_use, name="use"),
    path("jobs/<slug:slug>/runs/<int:number>/", job_views.redirect_to_run, name="numbered"),
    path("jobs/<slug:slug>/edit/", editor_views.edit_job, name="edit"),
    path("jobs/<slug:slug>/pin/", pin_views.pin_job, name="pin"),
    path("jobs/<slug:slug>/delete/", editor_views.remove_job, name="delete"),
]
