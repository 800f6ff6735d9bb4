"""Keeps replaced and deleted values for as long as a running script may print them, so that its log stays masked."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cronium_admin.core.database.clock import Now
from cronium_admin.secrets.crypto import DecryptionError, decrypt
from cronium_admin.secrets.models import RetiredSecret, Secret

# A transaction stamps its rows before it commits. A run claimed in between reads the old value, although the stamp
# says that the value was already replaced.
OVERLAP = timedelta(minutes=5)


class SecretUnavailable(Exception):
    """A run can't get a secret it names; `str()` says which, and the mend."""


def retire_value(name: str, encrypted: str) -> None:
    """Keep a stored value that is about to be replaced or deleted, in the same transaction."""
    RetiredSecret.objects.create(name=name, encrypted=encrypted, retired_at=Now())


def list_values_to_mask(names: Sequence[str], claimed_at: datetime) -> tuple[str, ...]:
    """Every value that a script claimed at `claimed_at` can have been given for `names`, and the present ones.

    SecretUnavailable when a value it was given is not kept, or can't be decrypted.
    """
    if not names:
        return ()
    current = {secret.name: secret for secret in Secret.objects.filter(name__in=names)}
    kept = RetiredSecret.objects.filter(name__in=names, retired_at__gt=claimed_at - OVERLAP)
    tokens = [(row.name, row.encrypted) for row in kept]
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
            f"The secret {name} can't be decrypted: none of the keys this host has opens it, so the rest of the log "
            "could not be masked, and the run was stopped. Add the key it was encrypted with to "
            "CRONIUM_ENCRYPTION_KEYS, then run it again if that is safe."
        ) from None


def delete_unneeded(claims: Iterable[tuple[Sequence[str], datetime | None]]) -> int:
    """Delete the retired values that no live run can have been given; how many were deleted.

    `claims` are the secrets' names and the time of the claim of every run that is on a host.
    """
    oldest: dict[str, datetime] = {}
    for names, claimed_at in claims:
        if claimed_at is None:
            continue
        for name in names:
            oldest[name] = min(claimed_at, oldest.get(name, claimed_at))
    expired = RetiredSecret.objects.filter(retired_at__lt=Now() - OVERLAP)
    unneeded = [
        row.pk
        for row in expired.only("name", "retired_at")
        if row.name not in oldest or row.retired_at + OVERLAP < oldest[row.name]
    ]
    return RetiredSecret.objects.filter(pk__in=unneeded).delete()[0]
