"""The Django project of Cronium: a package per room, and their assembly in this folder."""

from cronium_admin.celery import app as celery_app

__all__ = ["celery_app"]
