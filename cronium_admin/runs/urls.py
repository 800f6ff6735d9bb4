"""The addresses of the pages of runs."""

from django.urls import path

from cronium_admin.runs import views

app_name = "runs"
urlpatterns = [
    path("runs/", views.run_list, name="list"),
    path("runs/rows/", views.run_rows, name="rows"),
    path("runs/count/", views.live_count, name="count"),
    path("runs/launch/<slug:slug>/", views.launch_job, name="launch"),
    path("runs/<uuid:pk>/", views.run_page, name="run"),
    path("runs/<uuid:pk>/live/", views.run_live, name="live"),
    path("runs/<uuid:pk>/cancel/", views.cancel_run, name="cancel"),
    path("runs/<uuid:pk>/rerun/", views.rerun_run, name="rerun"),
]
