"""The expected load of the next days, from the schedules and the durations of their jobs."""
