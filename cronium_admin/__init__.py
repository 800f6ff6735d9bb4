"""The Django project of Cronium: a package per room, and their assembly in this folder."""
