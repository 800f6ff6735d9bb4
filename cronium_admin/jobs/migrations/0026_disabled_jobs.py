"""An index of the disabled jobs, for counters."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0025_saved_views")]

    operations = [
        migrations.AddIndex(
            "job", models.Index(fields=["id"], name="job_disabled", condition=models.Q(enabled=False))
        ),
    ]
