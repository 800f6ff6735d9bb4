"""URLs of the log's WebSocket, and of the last lines shown in lists of runs."""

from django.urls import path

from cronium_admin.logs import views
from cronium_admin.logs.live.consumers import RunLogConsumer

app_name = "logs"
urlpatterns = [path("last-lines/", views.show_last_lines, name="last")]
websocket_urlpatterns = [path("ws/runs/<uuid:run_id>/logs", RunLogConsumer.as_asgi())]
