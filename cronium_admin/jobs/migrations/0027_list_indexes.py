"""Indexes of the list of jobs: the order by name, and tags."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0026_disabled_jobs")]

    operations = [
        migrations.AddIndex("job", models.Index(fields=["order_key", "id", "enabled"], name="job_by_name")),
        migrations.AddIndex("job", models.Index(fields=["tags"], name="job_tags")),
    ]
