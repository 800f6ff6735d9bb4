"""Versions never repeat under one name: a recreated row continues the count of the deleted row with its name.

So an edit that is based on the deleted row conflicts with the new row. Names of jobs and secrets are counted within
their project; rows of the whole instance omit `project_id`.
"""

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, RetiredVersion
from cronium_admin.accounts.permissions import ProjectId


def retire_version(kind: str, name: str, version: int, project_id: ProjectId = DEFAULT_PROJECT_ID) -> None:
    """Store the last version of the row called `name`. Call it in the transaction that deletes or renames the row."""
    rows = [RetiredVersion(project_id=project_id, kind=kind, name=name, version=version)]
    RetiredVersion.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["project", "kind", "name"], update_fields=["version"]
    )


def first_version(kind: str, name: str, project_id: ProjectId = DEFAULT_PROJECT_ID) -> int:
    """The first version of a new row called `name`: 1 if no row had that name before."""
    rows = RetiredVersion.objects.filter(project=project_id, kind=kind, name=name)
    last = rows.values_list("version", flat=True).first()
    return (last or 0) + 1
