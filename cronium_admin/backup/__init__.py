"""Backup of an installation into one file, and its restoration."""
