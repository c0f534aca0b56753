"""One file a stage: `run(config)` returns the result that it made, or the path that it wrote."""
