"""The subcommands of `manage.py images`, one per module with HELP, `add_arguments` and `handle`."""
