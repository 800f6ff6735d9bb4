"""How long the last run of each job took, so that the list of jobs is ordered by it without a read of runs."""

from django.db import migrations, models

_SECONDS = {
    "sqlite": "(JULIANDAY(r.finished_at) - JULIANDAY(r.started_at)) * 86400.0",
    "postgresql": "EXTRACT(EPOCH FROM r.finished_at - r.started_at)",
}


def fill(apps, schema_editor):
    connection = schema_editor.connection
    ran = f"SELECT {_SECONDS[connection.vendor]} FROM runs_run r WHERE r.id = last_run_id"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE runs_jobhealth SET last_seconds = ({ran})")


class Migration(migrations.Migration):
    dependencies = [("runs", "0041_list_indexes")]

    operations = [
        migrations.AddField("jobhealth", "last_seconds", models.FloatField(null=True)),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
