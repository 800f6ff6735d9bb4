"""Runs one script in one throw-away sandbox on a Docker Engine. Knows nothing of Django or of a database."""
