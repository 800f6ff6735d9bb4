"""Django's settings, derived from `core.config`."""

import sys
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF

from cronium_admin.core.config import ROOT, load_config
from cronium_admin.core.data_folder import DataFolderError, load_or_create_secret
from cronium_admin.core.database.url import build_sqlite_settings, parse_database_url
from cronium_admin.core.redis_url import LAYER_READ_SECONDS, THROTTLE_READ_SECONDS

CONFIG = load_config()
BASE_DIR = ROOT
DATA_DIR: Path = CONFIG.data_dir.resolve()
VERSION = "0.1.0"

try:
    SECRET_KEY = CONFIG.secret_key or load_or_create_secret(DATA_DIR, "secret_key")
except DataFolderError as unusable:
    sys.stderr.write(f"{unusable}\n")
    raise SystemExit(2) from None
DEBUG = CONFIG.debug
DEFAULT_EXCEPTION_REPORTER_FILTER = "cronium_admin.ops.debug_page.HideCredentials"
ALLOWED_HOSTS = CONFIG.known_hosts
CSRF_TRUSTED_ORIGINS = [CONFIG.backend_origin] if CONFIG.backend_origin else []
# uvicorn sets the scheme, and trusts only the proxies in CRONIUM_TRUSTED_PROXIES.
SECURE_PROXY_SSL_HEADER = None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIG.backend_url.startswith("https")

INSTALLED_APPS = [
    "cronium_admin.accounts.admin_site.ReadOnlyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "ninja",
    "cronium_admin.core",
    "cronium_admin.accounts",
    "cronium_admin.images",
    "cronium_admin.profiles",
    "cronium_admin.registries",
    "cronium_admin.secrets",
    "cronium_admin.script_checks",
    "cronium_admin.jobs",
    "cronium_admin.warm",
    "cronium_admin.runs",
    "cronium_admin.logs",
    "cronium_admin.variables",
    "cronium_admin.image_builds",
    "cronium_admin.schedules",
    "cronium_admin.expectations",
    "cronium_admin.retention",
    "cronium_admin.backup",
    "cronium_admin.workers",
    "cronium_admin.workers.hosts",
    "cronium_admin.ops",
    "cronium_admin.web",
]
MIDDLEWARE = [
    "cronium_admin.ops.middleware.record_requests",
    "cronium_admin.ops.headers.CommonHeaders",
    "cronium_admin.ops.proxies.NoteUntrustedProxy",
    "cronium_admin.web.frame.HtmlGzip",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cronium_admin.accounts.middleware.SignInMiddleware",
    "cronium_admin.accounts.middleware.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "cronium_admin.web.frame.forbid_fragment_caching",
    "cronium_admin.web.frame.ExplainWrongMethod",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "cronium_admin.web.urls"
ASGI_APPLICATION = "cronium_admin.web.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "cronium_admin.web.frame.build_frame_context",
            ]
        },
    }
]

DATABASES: dict[str, Any] = {
    "default": parse_database_url(CONFIG.database_url)
    if CONFIG.database_url
    else build_sqlite_settings(DATA_DIR / "cronium.sqlite3")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "access.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        *("UserAttributeSimilarityValidator", "MinimumLengthValidator"),
        *("CommonPasswordValidator", "NumericPasswordValidator"),
    )
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "sign-in"
# Attempts without a delay: per name and address, and per address with any names (`accounts.sign_in_throttle`).
SIGN_IN_FREE_ATTEMPTS, SIGN_IN_FREE_ATTEMPTS_OF_ADDRESS = 5, 50
# axes records the attempts and locks no account.
AXES_LOCK_OUT_AT_FAILURE = False
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

SESSION_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "cronium_admin.accounts.session_store"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "style-src": [SELF, NONCE],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.static_dir or DATA_DIR / "static"
SERVESTATIC_ALLOW_ALL_ORIGINS = False
SERVESTATIC_KEEP_ONLY_HASHED_FILES = True
# Outside the data folder another server, such as nginx, may serve these files.
FILE_UPLOAD_PERMISSIONS = 0o644 if CONFIG.static_dir else 0o600
STATICFILES_DIRS = [BASE_DIR / "static"]
# `serve` and `web` collect the files at start. Names with a hash are cached for ever; the files are sent compressed.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False  # pages and messages are English; without translation each value on a page costs less

_memory = "django.core.cache.backends.locmem.LocMemCache"
# Large enough that neither other entries nor clients that try many names evict counters.
_attempts = {"BACKEND": _memory, "LOCATION": "throttle", "OPTIONS": {"MAX_ENTRIES": 50_000}}
if _redis := CONFIG.redis:
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [{"address": _redis.url, **_redis.build_options(LAYER_READ_SECONDS)}]},
        }
    }
    CELERY_BROKER_URL = _redis.broker_url
    CELERY_BROKER_TRANSPORT_OPTIONS = _redis.broker_options
    CELERY_BROKER_USE_SSL = _redis.broker_ssl
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": _redis.url,
            "OPTIONS": _redis.build_options(),
        }
    }
    # A user waits for it at sign-in, and each process can count on its own.
    CACHES["throttle"] = CACHES["default"] | {"OPTIONS": _redis.build_options(THROTTLE_READ_SECONDS)}
    CACHES["throttle_own"] = _attempts
else:
    CACHES = {"default": {"BACKEND": _memory}, "throttle": _attempts, "throttle_own": _attempts}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
# Used only with Redis; without it there is one process, and `core.wakeup` calls its worker.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # retries without end, at most 30 s apart; the default is 100 retries

# Loggers of requests that Django refuses. Each is listed, because a logger's filters do not apply to its children.
CLIENT_ERRORS = ("DisallowedHost", "RequestDataTooBig", "TooManyFieldsSent", "TooManyFilesSent", "SuspiciousSession")
LOGGING_CONFIG = "cronium_admin.ops.log_format.configure_logging"
# Only Cronium's own loggers log below WARNING: those of libraries may log the data that they transfer.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "rarely": {"()": "cronium_admin.web.edge.server_log.RateLimitFilter"},
        "unplanned": {"()": "cronium_admin.ops.log_format.OutageAnswerFilter"},
        "about": {"()": "cronium_admin.ops.log_format.ContextFilter"},
        "client_errors": {"()": "cronium_admin.web.edge.server_log.ClientErrorFilter"},
    },
    "formatters": {
        "text": {"()": "cronium_admin.ops.log_format.TextFormatter"},
        "json": {"()": "cronium_admin.ops.log_format.JsonLogFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": CONFIG.log_format,
            "filters": ["about", "client_errors"],
        },
    },
    "root": {"handlers": ["console"], "level": "ERROR" if CONFIG.log_level == "ERROR" else "WARNING"},
    "loggers": {
        "cronium": {"level": CONFIG.log_level},
        "django.request": {"level": "ERROR", "filters": ["unplanned"]},
        # Any request can cause these records repeatedly.
        "uvicorn.error": {"filters": ["rarely"]},
        **{f"django.security.{name}": {"filters": ["rarely"]} for name in CLIENT_ERRORS},
    },
}
