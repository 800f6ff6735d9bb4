"""URLs of the home page."""

from django.urls import path

from cronium_admin.home import views

urlpatterns = [
    path("", views.show_home, name="home"),
    path("home/now/", views.render_now, name="home-now"),
    path("home/figures/", views.show_figures, name="home-figures"),
    path("home/figures/part/", views.render_figures, name="home-figures-part"),
]
