"""The addresses of the access pages. Sign-in and sign-out have no namespace: Django's settings name them."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from cronium_admin.access import views

_pages = [
    path("access/", views.tokens, name="tokens"),
    path("access/<int:pk>/revoke/", views.revoke_token, name="revoke"),
]
urlpatterns = [
    path(
        "sign-in/",
        LoginView.as_view(
            template_name="access/sign_in.html",
            redirect_authenticated_user=True,
            http_method_names=["get", "head", "post"],
        ),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("", include((_pages, "access"))),
]
