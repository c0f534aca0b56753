"""Our own estimators, after scikit-learn's conventions; these modules import their libraries."""
