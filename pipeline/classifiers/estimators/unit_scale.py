"""A common scale for the features of any network, so that one search space fits them all."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from pipeline.classifiers.blocks import are_read, of_blocks

_VALUES = 2**17  # at a time in float64, 1 MiB
_FEW = 1000  # rows of which the mean is near that of all


def mean_and_scales(rows, parts) -> tuple[np.ndarray, list[float]]:
    """Return the mean of rows that are read in blocks, float64 (D,), and the scale of each part.

    Args:
        rows: n rows of D features.
        parts: slices of the features.

    Returns:
        The mean; and the root mean squared norm of each part of the centred rows, 1 where it is 0.
    """
    few = rows[:: max(1, len(rows) // _FEW)]
    near = few.mean(axis=0, dtype=np.float64).astype(rows.dtype)  # so that little is cancelled

    def of_block(_, block):
        block -= near
        pieces = (block[:, columns] for columns in parts)
        squares = [np.einsum("nd,nd->n", piece, piece).sum(dtype=np.float64) for piece in pieces]
        return block.sum(axis=0, dtype=np.float64), np.array(squares)

    sums, squares = np.zeros(rows.shape[1]), np.zeros(len(parts))
    for block_sums, block_squares in of_blocks(rows, of_block):
        sums += block_sums
        squares += block_squares
    offset = sums / len(rows)
    kept = [np.square(offset[columns]).sum() for columns in parts]
    variances = np.maximum(squares / len(rows) - kept, 0)
    return near + offset, [float(scale) or 1.0 for scale in np.sqrt(variances)]


class UnitScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Centre the features and divide all by one number, so that rows have a mean squared norm of 1.

    A kernel's gamma and a linear model's C or alpha then mean the same for every network and layer.
    Unlike standardization this keeps the proportions between features, which carry information: a
    feature that hardly varies stays small.

    Attributes:
        mean_: the mean of the training rows, float64 (D,).
        scale_: the root mean squared norm of the centred training rows; 1 where that is 0.
        n_features_in_: D.
    """

    def fit(self, X, y=None):  # noqa: N803 # scikit-learn's names
        """Compute mean and scale of X, float32 or float64 (n, D), or of rows read in blocks."""
        if are_read(X):
            return self._fit_blocks(X)
        X = validate_data(self, X, dtype=[np.float64, np.float32])  # noqa: N806
        self.mean_ = X.mean(axis=0, dtype=np.float64)
        blocks = gen_batches(len(X), max(1, _VALUES // X.shape[1]))
        squares = sum(np.square(X[rows] - self.mean_).sum() for rows in blocks)
        self.scale_ = float(np.sqrt(squares / len(X))) or 1.0
        return self

    def _fit_blocks(self, X):  # noqa: N803
        self.n_features_in_ = X.shape[1]
        self.mean_, (self.scale_,) = mean_and_scales(X, [slice(None)])
        return self

    def transform(self, X):  # noqa: N803
        """Return X centred and scaled, a new array (n, D) of X's dtype."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)  # noqa: N806
        centred = X - self.mean_.astype(X.dtype)
        centred /= X.dtype.type(self.scale_)
        return centred

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
