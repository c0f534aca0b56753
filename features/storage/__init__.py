"""The feature file: its HDF5, what it may hold, reading and writing it."""
