"""The subcommands of `manage.py logs`, one a file: HELP, `add_arguments` and `handle`."""
