"""A run refers to a revision of its job. Filled by the next migration; the one after it drops the own columns."""

import django.db.models.deletion
from django.db import migrations, models

import cronium_admin.core.json_text


def _key(to, **options):
    return models.ForeignKey(to=to, on_delete=django.db.models.deletion.PROTECT, **options)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0016_revisions"), ("runs", "0022_outbox")]

    operations = [
        migrations.AlterField("run", "script_text", _key("jobs.scripttext", null=True, related_name="+")),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("ScriptText")]),
        migrations.AddField("run", "revision", _key("jobs.jobrevision", null=True, related_name="runs")),
        migrations.AddField("run", "differs", cronium_admin.core.json_text.JsonTextField(null=True)),
        # For the next migration alone
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS runs_run_to_fill ON runs_run (job_id, job_revision, job_slug)",
            "DROP INDEX IF EXISTS runs_run_to_fill",
        ),
    ]
