"""Backup of an installation into one file, and restore."""
