"""URLs of the Hosts page, and of the notices about hosts on other pages."""

from django.urls import path

from cronium_admin.workers.hosts import queue_views, views

app_name = "hosts"
urlpatterns = [
    path("hosts/", views.list_hosts, name="list"),
    path("hosts/<int:pk>/drain/", views.switch_draining, name="drain"),
    path("hosts/<int:pk>/delete/", views.remove_host, name="delete"),
    path("hosts/queues/<slug:name>/", queue_views.change_limit, name="queue"),
    path("hosts/waiting/<uuid:run_id>/", views.show_wait_reason, name="waiting"),
    path("hosts/warm/", views.show_waiting_sandboxes, name="warm"),
    path("hosts/unsafe/", views.show_unsafe_hosts, name="unsafe"),
]
