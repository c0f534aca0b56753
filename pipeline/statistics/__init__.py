"""Metrics, intervals, tests, calibration: arrays in, numbers out, no files.

How the modules that judge candidates fit together, for labels (n,), the groups (n,) of the images
and the probabilities of m candidates, each (n, K), or (R, n, K) with R repeats of cross-validation:

```python
units = resampling.units(groups, labels, stratify=metric in scoring.CLASS_WISE)
measured = influence.measure(metric, labels, probabilities)  # scores, and each image's influence
intervals.interval(metric, labels, probabilities[0], units, 0.95)  # value, low, high, or a reason
best_set.could_be_best(measured, units) >= significance.LEVEL  # the set that holds the best one
settings = influence.measure_labels(metric, labels, predicted, K)  # of all settings that were tried
selection.corrected(settings, units, 500, 0.95, seed)  # what the best of them will score
best_set.better_than_chance(settings, labels, K, units) < significance.LEVEL  # knows anything
threshold.choose("macro_f1", labels, probabilities[0][:, 1])  # between two classes
```

Nothing of it knows records, folders or splits. `benchmarks/verdict.py` shows that it holds.
"""
