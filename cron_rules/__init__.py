"""Cron rules, intervals and calendar rules as pure functions: parse, next, previous, words. No Django, no database.

Instants are whole seconds since 1970-01-01T00:00:00Z. A label is what a local clock shows, as the seconds since
1970-01-01T00:00:00 on that clock; a day is the number of days since that date.
"""
