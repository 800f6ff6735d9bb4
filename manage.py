#!/usr/bin/env python
"""Django's command line for Cronium."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
    from cronium_admin.core import command_line

    command_line.run_command(sys.argv)


if __name__ == "__main__":
    main()
