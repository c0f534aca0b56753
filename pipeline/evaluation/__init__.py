"""Fair comparison: splits, tuning, records, metrics, significance."""
