"""Schedules: they launch runs of a job at the times of a rule, and record what became of each time."""
