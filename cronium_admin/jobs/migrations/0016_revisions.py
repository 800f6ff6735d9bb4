"""Revisions of jobs. The table of scripts moves from runs to jobs, in Django's state only."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import cronium_admin.core.database.clock

_SCRIPT_TEXT = migrations.CreateModel(
    name="ScriptText",
    fields=[
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("digest", models.CharField(max_length=64, unique=True)),
        ("text", models.TextField()),
    ],
    options={"db_table": "runs_scripttext"},
)


def _key(to, **options):
    return models.ForeignKey(to=to, **{"null": True, "on_delete": django.db.models.deletion.SET_NULL, **options})


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0015_retired_slugs"),
        ("runs", "0022_outbox"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[_SCRIPT_TEXT]),
        migrations.CreateModel(
            name="JobRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField(db_default=cronium_admin.core.database.clock.Now())),
                ("by_name", models.CharField(blank=True, default="", max_length=150)),
                ("settings", models.TextField()),
                ("digest", models.CharField(max_length=64)),
                ("changed", models.JSONField(null=True)),
                ("restored_from", models.PositiveIntegerField(null=True)),
                ("is_partial", models.BooleanField(default=False)),
                ("by", _key(settings.AUTH_USER_MODEL, related_name="+")),
                ("job", _key("jobs.job", related_name="revisions", db_index=False)),
                (
                    "script",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="jobs.scripttext"
                    ),
                ),
            ],
            options={"ordering": ["-number"]},
        ),
        migrations.AddConstraint(
            "jobrevision", models.UniqueConstraint(fields=("job", "number"), name="job_revision_number_once_per_job")
        ),
    ]
