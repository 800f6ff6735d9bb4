"""The sign-in page: Django's view, with throttled attempts."""

from math import ceil
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cronium_admin.accounts import sign_in_throttle


class SignInView(LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True
    http_method_names = ["get", "head", "post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        username = request.POST.get("username", "")
        if wait := ceil(sign_in_throttle.record_attempt(request, username)):
            page = render(request, "accounts/locked.html", {"seconds": wait}, status=429)
            page["Retry-After"] = str(wait)
            return page
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        username = form.cleaned_data["username"]
        sign_in_throttle.clear_attempts(self.request, username)
        response = super().form_valid(form)
        sign_in_throttle.remember_browser(response, username)
        return response
