"""URLs of the access pages. Sign-in and sign-out have no namespace, because Django's settings refer to them."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from cronium_admin.accounts import account_views, people_views, token_views
from cronium_admin.accounts.sign_in import SignInView

_pages = [
    path("access/", token_views.show_tokens, name="tokens"),
    path("access/<int:pk>/revoke/", token_views.revoke_token, name="revoke"),
    path("access/people/", people_views.list_people, name="people"),
    path("access/people/new/", people_views.add_person, name="add"),
    path("access/people/<int:pk>/", people_views.show_person, name="person"),
    path("access/people/<int:pk>/switch/", people_views.set_active, name="switch"),
    path("access/people/<int:pk>/password/", people_views.reset_password, name="reset-password"),
    path("access/people/<int:pk>/sessions/", people_views.end_sessions, name="end-sessions"),
    path("access/people/<int:pk>/delete/", people_views.delete_person, name="delete"),
]
_account = [
    path("account/", account_views.show_account, name="page"),
    path("account/password/", account_views.change_password, name="password"),
    path("account/sessions/", account_views.end_other_sessions, name="end-others"),
    path("account/sessions/<int:pk>/", account_views.end_session, name="end-one"),
]
urlpatterns = [
    path(
        "sign-in/",
        SignInView.as_view(),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("", include((_pages, "access"))),
    path("", include((_account, "account"))),
]
