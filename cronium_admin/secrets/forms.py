"""What people type on the Secrets page. The value goes in and never comes back."""

from django import forms

from cronium_admin.core.form_errors import PlainForm


class SecretForm(PlainForm):
    """Reads the types; the secret itself refuses what is wrong with them."""

    name = forms.CharField(error_messages={"required": "Give it a name, such as API_KEY."})
    description = forms.CharField(required=False)
    value = forms.CharField(required=False, strip=False)

    def clean_value(self) -> str | None:
        """Browsers send CRLF for what was one character; nothing typed is no new value."""
        return str(self.cleaned_data["value"]).replace("\r\n", "\n") or None
