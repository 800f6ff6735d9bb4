"""A row that is deleted or renamed and made again under its name goes on where the versions of the last one ended.

So a page or a caller that has read the old row never matches the new one.
"""

from cronium_admin.access.models import RetiredVersion


def retire_version(kind: str, name: str, version: int) -> None:
    """Keep the last version of what had `name`, in the transaction in which it loses that name."""
    rows = [RetiredVersion(kind=kind, name=name, version=version)]
    RetiredVersion.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["kind", "name"], update_fields=["version"]
    )


def first_version(kind: str, name: str) -> int:
    """The version with which a new row of `name` begins: 1 where there never was one."""
    last = RetiredVersion.objects.filter(kind=kind, name=name).values_list("version", flat=True).first()
    return (last or 0) + 1
