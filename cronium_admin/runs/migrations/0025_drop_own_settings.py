import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0024_fill_revisions")]

    operations = [
        migrations.RunSQL(
            "DROP INDEX IF EXISTS runs_run_to_fill",
            "CREATE INDEX IF NOT EXISTS runs_run_to_fill ON runs_run (job_id, job_revision, job_slug)",
        ),
        migrations.AlterField(
            "run",
            "revision",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="jobs.jobrevision"
            ),
        ),
        *(migrations.RemoveField("run", name) for name in ("script_text", "env", "secrets", "egress", "input")),
    ]
