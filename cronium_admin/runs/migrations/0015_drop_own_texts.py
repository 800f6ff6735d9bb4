import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0014_fill_shared_texts")]

    operations = [
        migrations.AlterField(
            "run",
            "script_text",
            models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="runs.scripttext"),
        ),
        migrations.RemoveField("run", "script"),
    ]
