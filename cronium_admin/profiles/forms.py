"""The form of the Profiles page."""

from django import forms

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.profiles.models import Profile


class ProfileForm(PlainForm):
    """Parses the fields; the model validates their bounds."""

    name = forms.CharField(max_length=40)
    cpu = forms.DecimalField(label="CPUs", max_digits=8, decimal_places=2)
    memory_mb = forms.IntegerField(label="Memory, MB")
    pids = forms.IntegerField(label="Processes (pids)")
    log_limit_mb = forms.IntegerField(required=False, label="Log, MB")
    runtime = forms.CharField(required=False, label="Runtime")

    @classmethod
    def from_profile(cls, profile: Profile | None) -> "ProfileForm":
        names = ("name", "cpu", "memory_mb", "pids", "log_limit_mb", "runtime")
        return cls(initial={name: getattr(profile, name) for name in names} if profile else None)
