"""A program that prepares an installation for tests, and prints a token of its administrator.

It does in one process the work of the commands migrate, images build, bootstrap, collectstatic and token.
"""

import io
import os

import django


def prepare() -> str:
    from django.conf import settings
    from django.core.management import call_command

    from cronium_admin.web import static_files

    call_command("migrate", interactive=False, verbosity=0)
    call_command("images", "build", stdout=io.StringIO())
    call_command("bootstrap", stdout=io.StringIO())
    if settings.CONFIG.static_dir:
        call_command("collectstatic", interactive=False, verbosity=0)
    static_files.collect_static_files()
    token = io.StringIO()
    call_command("token", "create", "--user", "admin", "--name", "tests", stdout=token)
    return token.getvalue().strip()


if __name__ == "__main__":
    os.umask(0o077)  # as manage.py does
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
    django.setup()
    print(prepare())
