"""Labelled rows of feature files, splits, groups, near-duplicates."""
