"""Faults, and runs that meet them; for the tests and for `tests.soak`."""

import logging

# What is told of each fault is not to be seen, unless somebody listens.
logging.getLogger("offshelf").addHandler(logging.NullHandler())
