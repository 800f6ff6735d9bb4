"""The URLs of the Images page and its tabs."""

from django.urls import path

from cronium_admin.image_pages import build_views, disk_views, image_views, missing_modules, registry_views, views

app_name = "images"
urlpatterns = [
    path("images/", views.show_images, name="list"),
    path("images/disk/", disk_views.show_disks, name="disk"),
    path("images/presence/", views.render_presence, name="presence"),
    path("images/pull/", views.pull_image, name="pull"),
    path("images/tests/<int:pk>/", views.render_test, name="test"),
    path("images/policy/", views.set_pull_policy, name="policy"),
    path("images/missing-modules/<uuid:pk>/", missing_modules.render_missing_module, name="missing-module"),
    path("images/builds/", build_views.show_builds, name="builds"),
    path("images/builds/rows/", build_views.render_builds, name="build-rows"),
    path("images/builds/runs/<uuid:pk>/steps/", image_views.render_run_steps, name="build-steps"),
    path("images/builds/new/", build_views.create_image, name="image-new"),
    path("images/builds/<int:pk>/", image_views.show_image, name="image"),
    path("images/builds/<int:pk>/live/<int:number>/", image_views.render_image, name="image-live"),
    path("images/builds/<int:pk>/edit/", build_views.edit_image, name="image-edit"),
    path("images/builds/<int:pk>/delete/", image_views.delete_image, name="image-delete"),
    path("images/builds/<int:pk>/build/", image_views.build_image, name="image-build"),
    path("images/builds/<int:pk>/<int:number>/cancel/", image_views.cancel_build, name="build-cancel"),
    path("images/builds/<int:pk>/<int:number>/pin/", image_views.pin_version, name="version-pin"),
    path("images/builds/<int:pk>/<int:number>/remove/", image_views.remove_version, name="version-remove"),
    path("images/builds/<int:pk>/<int:number>/sbom/", image_views.download_sbom, name="version-sbom"),
    path("images/registries/", registry_views.show_registries, name="registries"),
    path("images/registries/checks/", registry_views.render_checks, name="checks"),
    path("images/registries/check/", registry_views.check_all, name="check-all"),
    path("images/registries/new/", registry_views.create_registry, name="registry-new"),
    path("images/registries/<int:pk>/", registry_views.edit_registry, name="registry"),
    path("images/registries/<int:pk>/check/", registry_views.check_one, name="check"),
    path("images/registries/<int:pk>/delete/", registry_views.remove_registry, name="registry-delete"),
    path("images/<slug:language>/override/", views.set_image_override, name="override"),
    path("images/<slug:language>/reset/", views.reset_image_override, name="reset"),
]
