"""The form of the Secrets page. A value is never sent back."""

from django import forms

from cronium_admin.core.form_errors import PlainForm


class SecretForm(PlainForm):
    """Parses the fields; the service validates them."""

    name = forms.CharField(error_messages={"required": "Give it a name, such as API_KEY."})
    description = forms.CharField(required=False)
    value = forms.CharField(required=False, strip=False)

    def clean_value(self) -> str | None:
        # Undoes the CRLF that browsers send. Empty means no new value.
        return str(self.cleaned_data["value"]).replace("\r\n", "\n") or None
