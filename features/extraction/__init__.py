"""From a source to a feature file: plan, load, compute, write shards, reuse."""
