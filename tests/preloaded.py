"""The modules that `tests.forks` imports before it forks: the libraries, and Cronium without its settings.

A setting that a module reads while it is imported has the same value in all programs; `import_cronium` checks that.
"""

import importlib
import os
import pkgutil
import sys
from typing import Any

# What serve, web, worker and the commands import, as far as it needs no settings and starts no thread.
LIBRARIES = (
    *("django.contrib.admin", "django.contrib.auth.apps", "django.contrib.auth.hashers"),
    *("django.contrib.humanize.templatetags.humanize", "django.contrib.staticfiles.management.commands.collectstatic"),
    *("django.core.cache.backends.locmem", "django.core.management.commands.makemigrations"),
    *("django.core.serializers", "django.core.servers.basehttp", "django.db.backends.postgresql.base"),
    *("django.db.backends.sqlite3.base", "django.db.migrations.executor", "django.template.backends.django"),
    *("django.template.defaulttags", "django.template.loader", "django.test", "django.views.generic"),
    *("celery.app.amqp", "celery.backends.base", "celery.contrib.django.task", "celery.fixups.django"),
    *("celery.worker.consumer", "channels.auth", "channels.security.websocket", "cryptography.fernet"),
    *("csp.middleware", "django_htmx.templatetags.django_htmx", "docker", "jwt", "kombu.transport.redis", "orjson"),
    *("prometheus_client", "psutil", "psycopg_pool", "pydantic_settings", "pythonjsonlogger.json", "redis"),
    *("jsonschema", "markdown_it", "nh3"),
    *("servestatic.middleware", "sqlparse", "tenacity", "uvicorn.lifespan.on", "uvicorn.loops.asyncio"),
    *("uvicorn.protocols.http.h11_impl", "uvicorn.protocols.websockets.websockets_sansio_impl"),
)
# Of Cronium: all views and the API, and the commands.
CRONIUM = (
    *("web.urls", "logs.urls", "web.edge.application", "web.edge.connections", "web.edge.guard", "web.edge.sockets"),
    *("core.command_line", "core.database.outage", "accounts.middleware", "ops.debug_page", "web.static_files"),
    *(f"web.management.commands.{name}" for name in ("bootstrap", "serve", "web", "worker")),
    *("accounts.management.commands.token", "ops.management.commands.images"),
)
SETTINGS = "cronium_admin.settings"
# Django reads them while it is set up. It configures the log again in the fork; `_forget_settings` removes the
# connections; DEBUG only adds checks of receivers of signals.
READ_AGAIN = {"DATABASES", "DEBUG", "LOGGING"}
# Environments in which each setting that depends on the environment differs.
FIRST = {"CRONIUM_SECRET_KEY": "k" * 50, "CRONIUM_DATA_DIR": "/nonexistent/first"}
SECOND = {
    **{"CRONIUM_SECRET_KEY": "s" * 50, "CRONIUM_DATA_DIR": "/nonexistent/second", "CRONIUM_DEBUG": "true"},
    **{"CRONIUM_DATABASE_URL": "postgres://user@db/name", "CRONIUM_REDIS_URL": "redis://redis/1"},
    **{"CRONIUM_BACKEND_URL": "https://cronium.example", "CRONIUM_STATIC_DIR": "/nonexistent/static"},
    **{"CRONIUM_LOG_FORMAT": "json", "CRONIUM_LOG_LEVEL": "ERROR"},
}


def import_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)


def import_cronium() -> None:
    """Leaves Django set up, and its settings unread."""
    import django
    from django.apps import apps
    from django.conf import settings

    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    os.environ.update(FIRST)
    django.setup()
    for name in CRONIUM:
        importlib.import_module(f"cronium_admin.{name}")
    for app in apps.get_app_configs():
        for package in ("migrations", "templatetags"):
            _import_modules(f"{app.name}.{package}")
    read = {name: value for name, value in vars(settings).items() if name.isupper()}
    _keep_defaults_of_libraries()
    _forget_settings()
    os.environ.update(SECOND)
    different = {name for name, value in read.items() if getattr(settings, name) != value}
    assert different <= READ_AGAIN, f"read while Cronium was imported: {different - READ_AGAIN}"
    _forget_settings()


def _import_modules(package: str) -> None:
    try:
        found: Any = importlib.import_module(package)
    except ModuleNotFoundError:
        return
    for module in pkgutil.iter_modules(found.__path__):
        importlib.import_module(f"{package}.{module.name}")


def _keep_defaults_of_libraries() -> None:
    """axes adds defaults to the settings while it is imported: they are added again to the settings of a fork."""
    from django.conf import LazySettings, global_settings, settings

    own: Any = sys.modules[SETTINGS]
    known = {*dir(own), *dir(global_settings)}
    defaults = {name: value for name, value in vars(settings._wrapped).items() if name not in known and name.isupper()}
    set_up = LazySettings._setup

    def set_up_with_defaults(lazy: LazySettings, name: str | None = None) -> None:
        set_up(lazy, name)
        vars(lazy._wrapped).update(defaults)

    LazySettings._setup = set_up_with_defaults


def _forget_settings() -> None:
    from django.conf import settings
    from django.db import connections
    from django.utils.functional import empty

    from cronium_admin.core.config import load_config

    for connection in connections.all(initialized_only=True):
        del connections[connection.alias]
    vars(connections).pop("settings", None)
    connections._settings = None
    load_config.cache_clear()
    del sys.modules[SETTINGS]
    settings._wrapped = empty
