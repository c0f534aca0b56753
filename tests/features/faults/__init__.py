"""Faults, and runs that meet them; for the tests and for `tests.soak`."""

import logging

# Warnings about each fault are not shown unless a test asks for them.
logging.getLogger("offshelf").addHandler(logging.NullHandler())
