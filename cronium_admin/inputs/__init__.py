"""Typed input of jobs: the subset of JSON Schema, its fields, and the one validator. Pure: no database."""
