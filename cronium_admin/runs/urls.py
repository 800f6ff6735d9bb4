"""URLs of the pages of runs."""

from django.urls import path

from cronium_admin.runs import (
    advice_views,
    bulk_run_views,
    bulk_views,
    compare_views,
    input_views,
    launch_views,
    list_views,
    pane_views,
    receipt_views,
    run_views,
    views,
)

app_name = "runs"
urlpatterns = [
    path("job-acts/", bulk_views.apply_act, name="bulk"),
    path("run-acts/", bulk_run_views.apply_run_act, name="bulk-runs"),
    path("runs/", list_views.list_runs, name="list"),
    path("runs/rows/", list_views.render_rows, name="rows"),
    path("runs/job-options/", list_views.suggest_jobs, name="job-options"),
    path("runs/count/", views.count_live, name="count"),
    path("runs/advice/<slug:slug>/", advice_views.render_advice, name="advice"),
    path("runs/input-fields/", input_views.render_input_fields, name="input-fields"),
    path("runs/compare/", compare_views.compare, name="compare"),
    path("runs/launch/<slug:slug>/", launch_views.launch_job, name="launch"),
    path("runs/launch/<slug:slug>/form/", launch_views.render_form, name="launch-form"),
    path("runs/launch/<slug:slug>/in-editor/", pane_views.launch_in_editor, name="launch-in-editor"),
    path("runs/try/<slug:slug>/", pane_views.try_job, name="try"),
    path("runs/<uuid:pk>/pane/", pane_views.render_pane, name="pane"),
    path("runs/<uuid:pk>/pane/state/", pane_views.render_pane_state, name="pane-state"),
    path("runs/<uuid:pk>/", run_views.show_run, name="run"),
    path("runs/<uuid:pk>/script/", run_views.show_script, name="script"),
    path("runs/<uuid:pk>/details/", run_views.show_details, name="details"),
    path("runs/<uuid:pk>/live/", run_views.render_live_parts, name="live"),
    path("runs/<uuid:pk>/receipt/", receipt_views.show, name="receipt"),
    path("runs/<uuid:pk>/cancel/", views.cancel_run, name="cancel"),
    path("runs/<uuid:pk>/rerun/", views.rerun_run, name="rerun"),
]
