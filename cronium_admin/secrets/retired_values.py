"""Stores replaced and deleted values while a running script may print them, so that its log is masked."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.core.database.clock import Now
from cronium_admin.secrets.crypto import DecryptionError, decrypt
from cronium_admin.secrets.models import RetiredSecret, Secret

# A transaction sets `retired_at` before it commits. A run claimed in between reads the old value, although
# `retired_at` says that the value was already replaced.
OVERLAP = timedelta(minutes=5)


class SecretUnavailable(Exception):
    """A run can't get one of its secrets; the message names the secret and the remedy."""


def retire_value(project_id: ProjectId, name: str, encrypted: str) -> None:
    """Stores a value that is about to be replaced or deleted. Call it in the same transaction."""
    RetiredSecret.objects.create(project_id=project_id, name=name, encrypted=encrypted, retired_at=Now())


def list_values_to_mask(names: Sequence[str], project_id: ProjectId, claimed_at: datetime) -> tuple[str, ...]:
    """The current values of the project's `names`, and every value that a run claimed at `claimed_at` may have got.

    Raises SecretUnavailable if such a value is no longer stored, or can't be decrypted.
    """
    if not names:
        return ()
    current = {secret.name: secret for secret in Secret.objects.filter(project=project_id, name__in=names)}
    retired = RetiredSecret.objects.filter(project=project_id, name__in=names, retired_at__gt=claimed_at - OVERLAP)
    tokens = [(row.name, row.encrypted) for row in retired]
    retired_names = {name for name, _ in tokens}
    for name in names:
        secret = current.get(name)
        if secret is not None:
            tokens.append((name, secret.encrypted))
        if name not in retired_names and (secret is None or secret.value_changed_at > claimed_at):
            raise SecretUnavailable(
                f"The value of the secret {name} that the script was given is no longer stored, so the rest of its "
                "log could not be masked, and the run was stopped. Run it again if that is safe."
            )
    return tuple(dict.fromkeys(_decrypt_retired(name, token) for name, token in tokens))


def _decrypt_retired(name: str, token: str) -> str:
    try:
        return decrypt(name, token)
    except DecryptionError:
        raise SecretUnavailable(
            f"The secret {name} can't be decrypted: none of this host's keys decrypts it, so the rest of the log "
            "could not be masked, and the run was stopped. Add the key it was encrypted with to "
            "CRONIUM_ENCRYPTION_KEYS, then run it again if that is safe."
        ) from None


def delete_unneeded(claims: Iterable[tuple[ProjectId, Sequence[str], datetime | None]]) -> int:
    """Deletes the retired values that no live run can have received, and returns their number.

    `claims` are the project, the secrets' names and the time of the claim of every run that is on a host.
    """
    oldest: dict[tuple[ProjectId, str], datetime] = {}
    for project_id, names, claimed_at in claims:
        if claimed_at is None:
            continue
        for name in names:
            key = project_id, name
            oldest[key] = min(claimed_at, oldest.get(key, claimed_at))
    expired = RetiredSecret.objects.filter(retired_at__lt=Now() - OVERLAP)
    unneeded = [
        row.pk
        for row in expired.only("project", "name", "retired_at")
        if (key := (row.project_id, row.name)) not in oldest or row.retired_at + OVERLAP < oldest[key]
    ]
    return RetiredSecret.objects.filter(pk__in=unneeded).delete()[0]
