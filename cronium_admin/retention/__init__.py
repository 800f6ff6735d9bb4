"""Retention of stored data: deletes runs, by hand and by rule, and other expired rows."""
