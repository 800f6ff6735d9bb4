from django.db import migrations, models
from django.db.models import F, Value
from django.db.models.functions import Coalesce


def _set_owners_of_keys(apps, schema_editor):
    runs = apps.get_model("runs", "Run").objects.filter(idempotency_key__isnull=False)
    runs.update(idempotency_by=Coalesce(F("created_by_id"), Value(0)))


class Migration(migrations.Migration):
    dependencies = [("runs", "0009_gaps")]

    operations = [
        migrations.AddField("run", "idempotency_by", models.BigIntegerField(null=True)),
        migrations.AddField("run", "overridden", models.JSONField(null=True)),
        migrations.AddField("run", "request_digest", models.CharField(blank=True, default="", max_length=64)),
        migrations.RunPython(_set_owners_of_keys, migrations.RunPython.noop),
    ]
