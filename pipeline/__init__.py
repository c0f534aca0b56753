"""Offshelf's second half: everything after the feature file, and the commands."""
