"""Sessions are kept under digests of their keys from now on: those of before end, and people sign in once more."""

from django.db import migrations


def end_sessions(apps, schema_editor):
    apps.get_model("sessions", "Session").objects.all().delete()
    apps.get_model("access", "SignIn").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("access", "0002_people"), ("sessions", "0001_initial")]
    operations = [migrations.RunPython(end_sessions, end_sessions)]
