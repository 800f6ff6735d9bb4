from django.db import migrations


class Migration(migrations.Migration):
    """Runs that were launched from the dashboard have the trigger `manual`; it was `ui`."""

    dependencies = [("runs", "0034_triggers")]

    operations = [
        migrations.RunSQL(
            """UPDATE runs_run SET "trigger" = 'manual' WHERE "trigger" = 'ui'""",
            """UPDATE runs_run SET "trigger" = 'ui' WHERE "trigger" = 'manual'""",
        ),
    ]
