"""The pretrained networks: a catalog of facts, their weights, and Keras models with taps."""
