from decimal import Decimal

from django.db import migrations

PROFILES = [("small", Decimal("0.5"), 512, 100), ("medium", Decimal("1"), 1024, 250), ("large", Decimal("2"), 2048, 1000)]


def seed(apps, schema_editor):
    Profile = apps.get_model("profiles", "Profile")
    for name, cpu, memory_mb, pids in PROFILES:
        Profile.objects.get_or_create(name=name, defaults={"cpu": cpu, "memory_mb": memory_mb, "pids": pids})


class Migration(migrations.Migration):
    dependencies = [("profiles", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
