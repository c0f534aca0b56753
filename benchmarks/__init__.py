"""What is fast, right and lean here, measured against what people would otherwise do.

python -m benchmarks             images/s from JPEG files to a finished feature file
python -m benchmarks.accuracy    engines and precisions against float32 Keras
python -m benchmarks.memory      resident memory over an extraction of a million images
"""
