"""Networks trained on pixels: from scratch, and fine-tuned; candidates like any other."""
