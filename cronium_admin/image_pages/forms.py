"""The form of a registry. Its secret is never sent back."""

from typing import Any

from django import forms

from cronium_admin.accounts.models import Project
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.registries.models import PullPolicy, Registry

SIGN_IN = [
    ("none", "Without credentials"),
    ("user", "With a user and a secret"),
    ("helper", "With a credential helper"),
]
USE = [("all", "All projects"), ("chosen", "Chosen projects")]
POLICIES = {
    PullPolicy.MISSING: "A run waits for the pull if its host does not have the image.",
    PullPolicy.NEWER: "Each run asks the registry. If the registry does not answer, the image on the host is used.",
    PullPolicy.NEVER: "Only images that are already on a host are used.",
}


class RegistryForm(PlainForm):
    """Parses the fields; the service validates them. `has_secret`: an empty secret keeps the stored one."""

    address = forms.CharField(label="Address", error_messages={"required": "Enter the address, such as ghcr.io/acme."})
    sign_in = forms.ChoiceField(label="Sign-in", choices=SIGN_IN)
    username = forms.CharField(label="User", required=False)
    secret = forms.CharField(label="Secret", required=False, strip=False)
    helper = forms.CharField(label="Credential helper", required=False)
    ca = forms.CharField(label="Certificates", required=False)
    allow_http = forms.BooleanField(label="Plain HTTP", required=False)
    may_pull = forms.BooleanField(label="May pull", required=False)
    may_push = forms.BooleanField(label="May push", required=False)
    policy = forms.ChoiceField(label="Pull policy", choices=PullPolicy.choices)
    use = forms.ChoiceField(label="Who may use it", choices=USE)
    projects = forms.MultipleChoiceField(label="Projects", required=False)
    check_image = forms.CharField(label="Image to check with", required=False)

    def __init__(self, *args: Any, projects: list[Project], has_secret: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["projects"].choices = [(project.slug, project.name) for project in projects]  # type: ignore[attr-defined]
        self.has_secret = has_secret

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("sign_in") == "user":
            if not data.get("username"):
                self.add_error("username", "Enter the user. Some registries take any name with a token.")
            if not data.get("secret") and not self.has_secret:
                self.add_error("secret", "Enter the secret: a password or a token.")
        if data.get("sign_in") == "helper" and not data.get("helper"):
            self.add_error("helper", "Enter the helper's name, such as ecr-login.")
        if data.get("use") == "chosen" and not data.get("projects") and "projects" not in self.errors:
            self.add_error("projects", "Choose at least one project.")
        return data

    def collect_values(self) -> dict[str, Any]:
        """The data for the service. An empty secret is left out, so that it does not change."""
        data = dict(self.cleaned_data)
        sign_in, use, secret = data.pop("sign_in"), data.pop("use"), data.pop("secret")
        data |= {"username": data["username"] if sign_in == "user" else "", "is_shared": use == "all"}
        data["helper"] = data["helper"] if sign_in == "helper" else ""
        data["ca"] = data["ca"].replace("\r\n", "\n")
        return data | ({"secret": secret} if secret and sign_in == "user" else {})


def read_initial(registry: Registry) -> dict[str, Any]:
    """The form's values of a stored registry."""
    columns = ("address", "username", "helper", "ca", "allow_http", "may_pull", "may_push", "policy", "check_image")
    values: dict[str, Any] = {name: getattr(registry, name) for name in columns}
    values["sign_in"] = "helper" if registry.helper else "user" if registry.username else "none"
    values["use"] = "all" if registry.is_shared else "chosen"
    values["projects"] = [project.slug for project in registry.projects.all()]
    return values


NEW = {"sign_in": "none", "may_pull": True, "policy": PullPolicy.MISSING, "use": "all"}
