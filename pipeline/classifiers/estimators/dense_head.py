"""A dense network on features, after scikit-learn's conventions; Keras on any of its backends."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from features.quiet import keras_here
from pipeline.classifiers.estimators.unit_scale import UnitScale

_PREDICTED = 4096  # rows at a time


class DenseHead(ClassifierMixin, BaseEstimator):
    """Hidden layers, each with batch normalization, ReLU and dropout, then softmax.

    Features are centred and divided by one number, inside the network, so that it can be used
    without this class. It is trained by Adam until the loss of held-out training rows has not
    fallen for some epochs; the best weights are restored.

    Args:
        hidden: units of the hidden layers.
        dropout: share of units dropped after each of them.
        learning_rate: of Adam.
        batch_size: rows a step.
        epochs: at most.
        patience: epochs without a lower held-out loss after which it ends.
        held_out: share of the training rows that says when to stop; stratified where classes
            have enough rows for it.
        random_state: of the weights, the dropout, the order of rows and which are held out.

    Attributes:
        classes_: K labels.
        network_: the Keras network, float32 (n, D) to probabilities (n, K).
        n_iter_: epochs that it trained.
        n_features_in_: D.
    """

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
        random_state=None,
    ):
        self.hidden = hidden
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.held_out = held_out
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803 # scikit-learn's names
        """Learn from X (n, D), taken as float32, and y (n,), labels of at least two classes.

        Raises:
            MissingPackageError: Keras or its backend is not installed.
        """
        keras = keras_here("the dense head")
        X, y = validate_data(self, X, y, dtype=np.float32)  # noqa: N806
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected at least 2 classes, got 1 class: {self.classes_[0]!r}")
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        rows, held = self._part(codes, seed)
        self.network_ = self.bare_network(X.shape[1], len(self.classes_), seed)
        scale = UnitScale().fit(X[rows])
        variance = np.full(X.shape[1], scale.scale_**2 / X.shape[1])  # 1 on average, when scaled
        _set_scaling(self.network_, scale.mean_, variance)
        self.network_.compile(
            keras.optimizers.Adam(self.learning_rate),
            "sparse_categorical_crossentropy",
            jit_compile=False,  # compiling takes longer than it saves
        )
        self._train(X, codes.astype(np.int32), rows, held, random)
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
        """Return the network that these parameters describe, untrained, not compiled."""
        keras = keras_here("the dense head")
        seeds = iter(np.random.SeedSequence(seed).generate_state(2 * len(self.hidden) + 1).tolist())

        def dense(units: int, **options: Any) -> Any:
            start = keras.initializers.GlorotUniform(seed=next(seeds))
            return keras.layers.Dense(units, kernel_initializer=start, **options)

        layers = [keras.Input((features,)), keras.layers.Normalization(name="scale")]
        for units in self.hidden:
            layers += [dense(units, use_bias=False), keras.layers.BatchNormalization()]
            layers += [keras.layers.Activation("relu")]
            layers += [keras.layers.Dropout(self.dropout, seed=next(seeds))]
        return keras.Sequential([*layers, dense(classes, activation="softmax")], name="dense_head")

    def _part(self, codes, seed):
        """Return the positions of rows to train on and of rows that say when to stop."""
        places, held = np.arange(len(codes)), max(1, round(self.held_out * len(codes)))
        counts = np.bincount(codes)
        enough = counts.min() > 1 and min(held, len(codes) - held) >= len(counts)
        stratify = codes if enough else None
        return train_test_split(places, test_size=held, random_state=seed, stratify=stratify)

    def _train(self, X, codes, rows, held, random):  # noqa: N803
        least, best, waited = np.inf, self.network_.get_weights(), 0
        for epoch in range(1, self.epochs + 1):
            steps = max(1, len(rows) // self.batch_size)
            for batch in np.array_split(random.permutation(rows), steps):
                self.network_.train_on_batch(X[batch], codes[batch])
            loss, waited, self.n_iter_ = self._loss(X, codes, held), waited + 1, epoch
            if loss < least:
                least, best, waited = loss, self.network_.get_weights(), 0
            if waited == self.patience:
                break
        self.network_.set_weights(best)

    def _loss(self, X, codes, rows):  # noqa: N803
        chances = self.predict_proba(X[rows])[np.arange(len(rows)), codes[rows]]
        return -np.log(np.maximum(chances, 1e-7)).mean()


def _set_scaling(network: Any, mean: np.ndarray, variance: np.ndarray) -> None:
    layer = network.get_layer("scale")
    layer.set_weights([mean, variance, np.zeros(())])
    layer.finalize_state()  # its other copy, which it computes with
