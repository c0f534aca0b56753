"""Estimators of our own, after scikit-learn's conventions; each imports what it is made of."""
