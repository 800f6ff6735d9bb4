"""What people type on the access pages."""

from django import forms


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=100, error_messages={"required": "Give the token a name, such as what will use it."}
    )
