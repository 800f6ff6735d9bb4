"""Reads a crontab as cron does: entries with command, input and environment, and cron's own times. No Django."""
