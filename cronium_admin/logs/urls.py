"""Where the log's WebSocket is."""

from django.urls import path

from cronium_admin.logs.consumers import RunLogConsumer

websocket_urlpatterns = [path("ws/runs/<uuid:run_id>/logs", RunLogConsumer.as_asgi())]
