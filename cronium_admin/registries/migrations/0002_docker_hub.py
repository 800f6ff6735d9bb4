"""Adds Docker Hub without credentials, as users of the Docker Engine expect it."""

from django.db import migrations


def add_docker_hub(apps, schema_editor):
    apps.get_model("registries", "Registry").objects.get_or_create(address="docker.io")


class Migration(migrations.Migration):
    dependencies = [("registries", "0001_initial")]

    operations = [migrations.RunPython(add_docker_hub, migrations.RunPython.noop)]
