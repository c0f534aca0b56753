"""A common scale for layers that stand side by side, so that none drowns the others."""

import itertools
from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from pipeline.classifiers.blocks import are_read
from pipeline.classifiers.estimators.unit_scale import UnitScale, mean_and_scales


class BlockScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each block of features by itself, as `UnitScale` does it: to a mean squared norm of 1.

    Layers of a network differ in scale by orders of magnitude, and in width. After it every block
    has the same part in distances and in kernels, however wide it is; within a block the
    proportions of features are kept. A linear kernel of all features is then the sum of one kernel
    of each block, all of unit variance in feature space: the normalization of M. Kloft, U. Brefeld,
    S. Sonnenburg and A. Zien, "lp-Norm Multiple Kernel Learning", JMLR 12, 2011, after A. Zien and
    C. S. Ong, "Multiclass Multiple Kernel Learning", ICML 2007.

    Args:
        widths: the number of features of each block, in order.

    Attributes:
        mean_: the mean of the training rows, float64 (D,).
        scale_: what the features of each block are divided by, float64 (D,).
        n_features_in_: D.
    """

    def __init__(self, widths=()):
        self.widths = widths

    def fit(self, X, y=None):  # noqa: N803 # scikit-learn's names
        """Compute mean and scale of each block of X, (n, D), or of rows read in blocks."""
        if are_read(X):
            self.n_features_in_ = X.shape[1]
            self.mean_, scales = mean_and_scales(X, list(self._blocks()))
            self.scale_ = self._spread(scales)
            return self
        X = validate_data(self, X, dtype=[np.float64, np.float32])  # noqa: N806
        units = [UnitScale().fit(X[:, columns]) for columns in self._blocks()]
        self.mean_ = np.concatenate([unit.mean_ for unit in units])
        self.scale_ = self._spread([unit.scale_ for unit in units])
        return self

    def transform(self, X):  # noqa: N803
        """Return X with each block centred and scaled, a new array (n, D) of X's dtype."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)  # noqa: N806
        centred = X - self.mean_.astype(X.dtype)
        centred /= self.scale_.astype(X.dtype)
        return centred

    def _blocks(self) -> Iterator[slice]:
        """Yield the columns of each block."""
        ends = [0, *itertools.accumulate(self.widths)]
        if ends[-1] != self.n_features_in_:
            raise ValueError(
                f"blocks of {ends[-1]} features in all, but rows have {self.n_features_in_}"
            )
        return (slice(*pair) for pair in itertools.pairwise(ends))

    def _spread(self, scales) -> np.ndarray:
        return np.repeat(np.asarray(scales, np.float64), self.widths)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
