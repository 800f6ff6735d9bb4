"""The Django project Cronium is: rooms by noun, wiring in this folder."""

from cronium_admin.celery import app as celery_app

__all__ = ["celery_app"]
