"""Processes: their limits, signals, packages, CPUs, and what they print."""
