from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0010_launch_rights")]

    operations = [
        migrations.RemoveConstraint("run", "run_once_per_idempotency_key"),
        migrations.AddConstraint(
            "run",
            models.UniqueConstraint(
                fields=("job", "idempotency_by", "idempotency_key"), name="run_once_per_idempotency_key"
            ),
        ),
    ]
