"""The subcommands of `manage.py logs`, one per module with HELP, `add_arguments` and `handle`."""
