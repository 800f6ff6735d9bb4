"""URLs of the pages of schedules."""

from django.urls import path

from cronium_admin.schedules import downtime_views, editor_views, ledger_views, views
from cronium_admin.schedules.crontab.views import import_crontab

app_name = "schedules"
urlpatterns = [
    path("schedules/", views.show_schedules, name="list"),
    path("schedules/preview/", editor_views.preview_rule, name="preview"),
    path("schedules/import/", import_crontab, name="import"),
    path("schedules/downtime/", downtime_views.show_downtime, name="downtime"),
    path("schedules/downtime/run/", downtime_views.run_rest, name="run-rest"),
    path("schedules/<int:pk>/", views.show_schedule, name="schedule"),
    path("schedules/<int:pk>/ledger/", ledger_views.render_ledger, name="ledger"),
    path("schedules/<int:pk>/times/<int:row>/", ledger_views.show_single_times, name="single-times"),
    path("schedules/<int:pk>/edit/", editor_views.edit_schedule, name="edit"),
    path("schedules/<int:pk>/switch/", views.switch_schedule, name="switch"),
    path("schedules/<int:pk>/delete/", views.delete_schedule, name="delete"),
    path("schedules/<int:pk>/run-missed/", views.run_missed_times, name="run-missed"),
    path("jobs/<slug:slug>/schedules/new/", editor_views.create_schedule, name="new"),
    path("jobs/<slug:slug>/schedule-rows/", views.render_job_schedules, name="of-job"),
]
