"""Features laid out in the plane, and how far such a map can be trusted."""
