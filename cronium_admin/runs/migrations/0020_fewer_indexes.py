"""Fewer and smaller indexes of runs. Those of the keys are dropped by name: Django would copy SQLite's whole table."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_ADDED = (
    models.Index(fields=["parent"], name="run_of_parent", condition=models.Q(parent__isnull=False)),
    models.Index(
        fields=["cancel_requested_by"],
        name="run_cancelled_by",
        condition=models.Q(cancel_requested_by__isnull=False),
    ),
)


def _key(to, related_name):
    return models.ForeignKey(
        to=to, related_name=related_name, null=True, on_delete=django.db.models.deletion.SET_NULL, db_index=False
    )


_KEYS = {
    "job": ("runs_run_job_id_0ad2ed4c", _key("jobs.job", "runs")),
    "parent": ("runs_run_parent_id_8594b290", _key("runs.run", "reruns")),
    "cancel_requested_by": ("runs_run_cancel_requested_by_id_524f2ee4", _key(settings.AUTH_USER_MODEL, "+")),
}


def _drop(key, index, field):
    return migrations.RunSQL(
        f"DROP INDEX IF EXISTS {index}",
        f'CREATE INDEX IF NOT EXISTS {index} ON runs_run ("{key}_id")',
        state_operations=[migrations.AlterField("run", key, field)],
    )


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0015_retired_slugs"),
        ("runs", "0019_retired_slugs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        *(migrations.AddIndex("run", index) for index in _ADDED),
        migrations.RemoveIndex("run", "run_log_by_age"),
        *(_drop(key, *rest) for key, rest in _KEYS.items()),
    ]
