"""The classifiers of the suite."""
