"""Forms of the access pages."""

from django import forms

from cronium_admin.accounts.permissions import Role
from cronium_admin.core.form_errors import PlainForm

EXPIRES = {"7d": "in 7 days", "30d": "in 30 days", "90d": "in 90 days", "365d": "in a year", "never": "never"}


class TokenForm(PlainForm):
    name = forms.CharField(
        max_length=100,
        error_messages={
            "required": "Enter a name, such as the program that will use the token.",
            "max_length": "100 characters at most.",
        },
    )
    expires = forms.ChoiceField(
        choices=list(EXPIRES.items()),
        initial="30d",
        error_messages={"required": "Choose when it ends.", "invalid_choice": "Choose when it ends."},
    )


class PersonForm(PlainForm):
    """Parses the fields; `people` validates them."""

    username = forms.CharField(
        max_length=150,
        error_messages={"required": "Enter the name for signing in.", "max_length": "150 characters at most."},
    )
    role = forms.ChoiceField(
        choices=Role.choices, error_messages={"required": "Choose a role.", "invalid_choice": "Choose a role."}
    )
    password = forms.CharField(required=False, strip=False)


class PasswordForm(PlainForm):
    """Changes one's own password."""

    current = forms.CharField(strip=False, error_messages={"required": "Type your present password."})
    password = forms.CharField(strip=False, error_messages={"required": "Choose a new password."})
    again = forms.CharField(strip=False, error_messages={"required": "Type the new password once more."})

    def clean_again(self) -> str:
        repeated = str(self.cleaned_data["again"])
        if repeated != self.cleaned_data.get("password", repeated):
            raise forms.ValidationError("The two new passwords differ.")
        return repeated
