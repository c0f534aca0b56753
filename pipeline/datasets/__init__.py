"""Public image sets: what is known of each, and the ways to get it."""
