"""Reads and writes the engine's saved images without the engine. Uses neither Django nor docker-py."""
