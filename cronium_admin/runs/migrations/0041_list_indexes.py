"""Indexes for the filters of lists of runs. That of the author's key is dropped by name: Django would copy SQLite's whole
table."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_OLD_INDEX = "runs_run_created_by_id_f5dec0c1"
_CREATED_BY = models.ForeignKey(
    db_index=False,
    null=True,
    on_delete=django.db.models.deletion.SET_NULL,
    related_name="+",
    to=settings.AUTH_USER_MODEL,
)


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0040_input_values"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex("run", models.Index(fields=["created_by", "-created_at", "-id"], name="run_by_user_newest")),
        migrations.RunSQL(
            f"DROP INDEX IF EXISTS {_OLD_INDEX}",
            f"CREATE INDEX IF NOT EXISTS {_OLD_INDEX} ON runs_run (created_by_id)",
            state_operations=[migrations.AlterField("run", "created_by", _CREATED_BY)],
        ),
        migrations.AddIndex("run", models.Index(fields=["host", "-created_at", "-id"], name="run_of_host_newest")),
        migrations.AddIndex(
            "run", models.Index(fields=["language", "-created_at", "-id"], name="run_of_language_newest")
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["reason", "-created_at", "-id"], name="run_by_reason_newest", condition=~models.Q(reason="")
            ),
        ),
    ]
