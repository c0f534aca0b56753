"""The networks: what is known of them, their weights, and Keras models with taps."""
