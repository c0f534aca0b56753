"""How each kind of candidate predicts: the locked images of its splits, and images that are new."""
