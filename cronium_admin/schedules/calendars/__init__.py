"""Calendars: named lists of closed days that schedules skip."""
