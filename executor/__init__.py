"""Runs one script in one throw-away sandbox on a Docker Engine. Uses neither Django nor a database."""
