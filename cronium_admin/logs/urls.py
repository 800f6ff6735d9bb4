"""URLs of the log's WebSocket, and of the pages and parts of pages that read logs."""

from django.urls import path

from cronium_admin.logs import compare_views, search_views, views
from cronium_admin.logs.live.consumers import RunLogConsumer

app_name = "logs"
urlpatterns = [
    path("last-lines/", views.show_last_lines, name="last"),
    path("runs/search/", search_views.show_form, name="search"),
    path("runs/search/results/", search_views.show_results, name="search-results"),
    path("runs/search/part/", search_views.show_results, {"is_part": True}, name="search-part"),
    path("runs/compare/log/", compare_views.compare, name="compare"),
    path("runs/compare/log/part/", compare_views.compare, {"is_part": True}, name="compare-part"),
]
websocket_urlpatterns = [path("ws/runs/<uuid:run_id>/logs", RunLogConsumer.as_asgi())]
