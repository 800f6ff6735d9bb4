"""When an input value was stored, so that a list of runs with a frequent value begins at the newest of them."""

from django.db import migrations, models

from cronium_admin.core.database.clock import Now


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        launched = "SELECT r.created_at FROM runs_run r WHERE r.id = run_id"
        cursor.execute(f"UPDATE runs_runinput SET created_at = ({launched})")


class Migration(migrations.Migration):
    dependencies = [("runs", "0042_last_seconds")]

    operations = [
        migrations.AddField("runinput", "created_at", models.DateTimeField(db_default=Now())),
        migrations.RemoveIndex("runinput", "run_input_by_value"),
        migrations.AddIndex(
            "runinput", models.Index(fields=["name", "value", "created_at", "run"], name="run_input_newest")
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
