"""What to do next: probes of layers, learning curves, and how far a task is from ImageNet."""
