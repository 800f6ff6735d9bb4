"""The URLs of the pages that delete runs."""

from django.urls import path

from cronium_admin.retention import views

app_name = "retention"
urlpatterns = [
    path("runs/delete/", views.delete_many, name="many"),
    path("runs/<uuid:pk>/delete/", views.delete_one, name="one"),
]
