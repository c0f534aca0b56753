"""Files that are written whole, sealed, locked and read by a schema."""
