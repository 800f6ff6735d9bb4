"""Import of a crontab: what each entry becomes, and the jobs and schedules that are created from it."""
