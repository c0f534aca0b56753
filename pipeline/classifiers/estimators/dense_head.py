"""A dense network on features as a scikit-learn estimator, by Keras on any of its backends."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from features.processes.quiet import keras_here
from pipeline.classifiers.blocks import are_read
from pipeline.classifiers.estimators.unit_scale import UnitScale

_PREDICTED = 4096  # rows at a time
# Consecutive rows that are read together, where not all of them are in memory: so few that classes
# are mixed where the rows are sorted by class, and enough that little time goes into finding them.
_PIECE = 16
_SHUFFLED = 2**28  # bytes of such pieces that are shuffled together
_USUAL = (1e-4, 1e6)  # scales of features that float32 and Keras' smallest deviation allow


class DenseHead(ClassifierMixin, BaseEstimator):
    """Hidden layers, each with batch normalization, ReLU and dropout, then a softmax layer.

    The network itself centres the features and divides them by one number, so that it can be used
    without this class. Adam trains it until the loss on held-out training rows has not fallen for
    some epochs; then the best weights are restored.

    Args:
        hidden: the units of each hidden layer.
        dropout: the share of units that is dropped after each hidden layer.
        learning_rate: Adam's learning rate.
        batch_size: the number of rows in a training step.
        epochs: the largest number of epochs.
        patience: training ends after so many epochs without a lower held-out loss.
        held_out: the share of the training rows that decides when to stop; stratified where
            classes have enough rows.
        class_weight: the weight of each class's losses, as scikit-learn's models take it: None,
            "balanced", or a dictionary by label.
        random_state: the seed of weights, dropout, order of rows and held-out rows.

    Attributes:
        classes_: the K labels.
        network_: the Keras network, from float32 (n, D) to probabilities (n, K).
        n_iter_: the number of epochs that were trained.
        n_features_in_: D.
        factor_: the number by which the network multiplies features of an unusual scale; else 1.
    """

    factor_ = 1.0  # of heads that were stored before

    def __init__(
        self,
        hidden=(1024,),
        *,
        dropout=0.5,
        learning_rate=1e-3,
        batch_size=256,
        epochs=100,
        patience=5,
        held_out=0.1,
        class_weight=None,
        random_state=None,
    ):
        self.hidden = hidden
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.held_out = held_out
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803 # scikit-learn's names
        """Fit to X (n, D), converted to float32, and y (n,), labels of at least two classes.

        Rows that are read in blocks, and are too many to be held, come to it in another order:
        pieces of consecutive rows in random order, of which as many as are held are shuffled
        together.

        Raises:
            MissingPackageError: Keras or its backend is not installed.
        """
        keras = keras_here("the dense head")
        if are_read(X):
            self.n_features_in_ = X.shape[1]
        else:
            X, y = validate_data(self, X, y, dtype=np.float32)  # noqa: N806
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected at least 2 classes, got 1 class: {self.classes_[0]!r}")
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        rows, held_out = self._split(codes, seed)
        scale = UnitScale().fit(X.subset(np.sort(rows)) if are_read(X) else X[rows])
        deviation = scale.scale_ / np.sqrt(X.shape[1])
        self.factor_ = 1.0 if _USUAL[0] < deviation < _USUAL[1] else 1 / deviation
        self.network_ = self.bare_network(X.shape[1], len(self.classes_), seed)
        variance = np.full(X.shape[1], (self.factor_ * deviation) ** 2)  # 1 on average, when scaled
        _set_scaling(self.network_, self.factor_ * scale.mean_, variance)
        self.network_.compile(
            keras.optimizers.Adam(self.learning_rate),
            "sparse_categorical_crossentropy",
            jit_compile=False,  # compiling takes longer than it saves
        )
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        weights = weights.astype(np.float32)  # (K,)
        self._train(X, codes.astype(np.int32), weights, rows, held_out, random)
        return self

    def predict_proba(self, X):  # noqa: N803
        """Return probabilities, float32 (n, K), in the order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)  # noqa: N806
        to_numpy = keras_here("the dense head").ops.convert_to_numpy
        blocks = [X[rows] for rows in gen_batches(len(X), _PREDICTED)]
        return np.concatenate([to_numpy(self.network_(x, training=False)) for x in blocks])

    def predict(self, X):  # noqa: N803
        """Return the most probable labels, (n,)."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(axis=1)]

    def bare_network(self, features: int, classes: int, seed: int = 0) -> Any:
        """Return the network of these parameters, neither trained nor compiled."""
        keras = keras_here("the dense head")
        seeds = iter(np.random.SeedSequence(seed).generate_state(2 * len(self.hidden) + 1).tolist())

        def dense(units: int, **options: Any) -> Any:
            start = keras.initializers.GlorotUniform(seed=next(seeds))
            return keras.layers.Dense(units, kernel_initializer=start, **options)

        layers = [keras.Input((features,))]
        if self.factor_ != 1:
            layers += [keras.layers.Rescaling(self.factor_)]
        layers += [keras.layers.Normalization(name="scale")]
        for units in self.hidden:
            layers += [dense(units, use_bias=False), keras.layers.BatchNormalization()]
            layers += [keras.layers.Activation("relu")]
            layers += [keras.layers.Dropout(self.dropout, seed=next(seeds))]
        return keras.Sequential([*layers, dense(classes, activation="softmax")], name="dense_head")

    def _split(self, codes, seed):
        """Return the positions of rows to train on and of held-out rows."""
        rows, size = np.arange(len(codes)), max(1, round(self.held_out * len(codes)))
        counts = np.bincount(codes)
        enough = counts.min() > 1 and min(size, len(codes) - size) >= len(counts)
        stratify = codes if enough else None
        return train_test_split(rows, test_size=size, random_state=seed, stratify=stratify)

    def _train(self, X, codes, weights, rows, held_out, random):  # noqa: N803
        least, best, waited = np.inf, self.network_.get_weights(), 0
        for epoch in range(1, self.epochs + 1):
            for x, batch in self._batches(X, rows, random):
                self.network_.train_on_batch(x, codes[batch], weights[codes[batch]])
            loss = self._loss(X, codes, held_out, weights)
            waited, self.n_iter_ = waited + 1, epoch
            if loss < least:
                least, best, waited = loss, self.network_.get_weights(), 0
            if waited == self.patience:
                break
        self.network_.set_weights(best)

    def _batches(self, X, rows, random):  # noqa: N803
        """Yield the features and the positions of all rows, a training step at a time."""
        for some in _shuffled_together(X, rows, random):
            shuffled, held = random.permutation(some), np.sort(some)
            x = X[held] if are_read(X) else X
            for batch in np.array_split(shuffled, max(1, len(some) // self.batch_size)):
                yield x[np.searchsorted(held, batch) if are_read(X) else batch], batch

    def _loss(self, X, codes, rows, weights):  # noqa: N803
        rows = np.sort(rows) if are_read(X) else rows
        parts = [slice(None)]
        if are_read(X):
            parts = gen_batches(len(rows), max(1, _SHUFFLED // (4 * X.shape[1])))
        chances = np.concatenate([self.predict_proba(X[rows[part]])[
            np.arange(len(rows[part])), codes[rows[part]]
        ] for part in parts])  # fmt: skip
        return np.average(-np.log(np.maximum(chances, 1e-7)), weights=weights[codes[rows]])


def _shuffled_together(X, rows, random):  # noqa: N803
    """Yield the rows of an epoch: all at once, or where these are too many to read some pieces."""
    together = max(1, _SHUFFLED // (4 * X.shape[1] * _PIECE))  # pieces
    if not are_read(X) or len(rows) <= together * _PIECE:
        yield rows
        return
    pieces = np.array_split(np.sort(rows), len(rows) // _PIECE)
    order = random.permutation(len(pieces))
    for start in range(0, len(order), together):
        yield np.concatenate([pieces[place] for place in order[start : start + together]])


def _set_scaling(network: Any, mean: np.ndarray, variance: np.ndarray) -> None:
    layer = network.get_layer("scale")
    layer.set_weights([mean, variance, np.zeros(())])
    layer.finalize_state()  # the layer computes with a copy of its weights
