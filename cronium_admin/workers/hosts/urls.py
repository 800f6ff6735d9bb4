"""The addresses of the Hosts page and of what other pages say of hosts."""

from django.urls import path

from cronium_admin.workers.hosts import views

app_name = "hosts"
urlpatterns = [
    path("hosts/", views.hosts, name="list"),
    path("hosts/<int:pk>/drain/", views.switch, name="drain"),
    path("hosts/<int:pk>/delete/", views.delete, name="delete"),
    path("hosts/waiting/<uuid:run_id>/", views.waiting, name="waiting"),
    path("hosts/unsafe/", views.unsafe, name="unsafe"),
]
