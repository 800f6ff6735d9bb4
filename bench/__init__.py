"""Measurements: ratios of things measured side by side in one run. Timings are never asserted in tests."""
