"""The Celery application: its configuration and nothing else."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

app = Celery("cronium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["cronium_admin.hosts"])
