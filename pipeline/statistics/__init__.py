"""Metrics, intervals, tests, calibration: arrays in, numbers out, no files."""
