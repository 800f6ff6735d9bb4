from django.db import migrations, models


class Migration(migrations.Migration):
    """The error in the log of a failed run, found when the run ends; null for older runs."""

    dependencies = [("runs", "0035_manual_trigger")]

    operations = [
        migrations.AddField(model_name="run", name="error", field=models.JSONField(null=True)),
    ]
