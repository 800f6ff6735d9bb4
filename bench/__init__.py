"""Benchmarks. Values that are compared are measured in the same run. Tests never assert timings."""
