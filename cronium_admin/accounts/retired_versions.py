"""Versions never repeat under one name: a row made again continues after the last version of the one before.

So a page or caller that has read the old row never matches the new one.
"""

from cronium_admin.accounts.models import RetiredVersion


def retire_version(kind: str, name: str, version: int) -> None:
    """Store the last version of the row called `name`. Call it in the transaction that deletes or renames the row."""
    rows = [RetiredVersion(kind=kind, name=name, version=version)]
    RetiredVersion.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["kind", "name"], update_fields=["version"]
    )


def first_version(kind: str, name: str) -> int:
    """The first version of a new row called `name`: 1 if no row had that name before."""
    last = RetiredVersion.objects.filter(kind=kind, name=name).values_list("version", flat=True).first()
    return (last or 0) + 1
