"""A candidate behind HTTP: uploads to batches to predictions, and a page to drop images on."""
