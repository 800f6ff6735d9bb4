"""The checks of `manage.py doctor`, one module per subject. A check returns results; it changes and stores nothing."""
