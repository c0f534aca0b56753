"""Data sets drawn from feature files: few images to learn from, all others as the truth.

As for a user who has few images, all of these are cross-validated, in repeats. What the models
that validate score on other images is the truth; so is, for comparison, what the model scores that
learns from all of them and is kept. Four classifiers are tried, all of them solved in closed form,
so that hundreds of draws take minutes.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from benchmarks.worlds import METRICS, Candidates, Sample
from features.storage.store import FeatureFile
from pipeline.statistics import metrics

LEARN, NEW = 500, 20_000  # images to learn from, and at most so many others
FOLDS, REPEATS = 5, 2  # of cross-validation, as `classify` takes them for so few images
COMPONENTS = 128  # of the features, which is what makes it fast
POSITIVE = 5  # the class that is looked for among all others: dogs, in CIFAR-10
PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001)  # of ridge regression, as shares of the mean variance
SHRINKAGES = (0.9, 0.5, 0.1, 0.01, 0.001)  # of discriminant analysis
NEIGHBOURS = (1, 3, 5, 10)


class RealWorld:
    """Draws from one feature file or several with the same images.

    Each classifier on each file is a candidate, with its settings.
    """

    def __init__(self, paths: Sequence[Path], share: float | None) -> None:
        """Read feature files.

        Args:
            paths: of the files; the images that all of them have are taken.
            share: None for all classes as they are, else the share of class 1, which is one of
                the classes among all others; then settings have class weights, too.
        """
        files = [_by_id(path) for path in paths]
        ids = reduce(np.intersect1d, [ids for ids, _, _ in files])
        places = [np.searchsorted(names, ids) for names, _, _ in files]
        labels = files[0][2][places[0]]
        rows = np.arange(len(labels))
        if share:
            others = np.flatnonzero(labels != POSITIVE)
            ones = np.flatnonzero(labels == POSITIVE)[: round(len(others) * share / (1 - share))]
            rows = np.concatenate([ones, others])
            labels = (labels == POSITIVE).astype(np.int64)
        self.layers = [x[place[rows]] for (_, x, _), place in zip(files, places, strict=True)]
        self.labels, self.weighted = labels[rows], (False, True) if share else (False,)
        kind = f"1:{round(1 / share) - 1}" if share else f"{labels.max() + 1} classes"
        self.name = f"{', '.join(path.stem for path in paths)}; {kind}"

    def draw(self, seed: int) -> Sample:
        """Return one data set."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        learn, new = order[:LEARN], order[LEARN : LEARN + NEW]
        some = new[: NEW // 4]  # of the kept model the mean is looked at alone
        parts = [self._of_layer(x, learn, new, some, f"{n}") for n, x in enumerate(self.layers)]
        names, validated, on_new, kept = zip(*parts, strict=True)
        families = np.concatenate(names)
        predicted = np.concatenate(validated, axis=1).swapaxes(0, 1)  # (m, REPEATS, LEARN)
        settings = Candidates(
            np.eye(int(self.labels.max()) + 1, dtype=np.float32)[predicted],
            self._scores(np.concatenate(on_new), new),
            np.unique(families, return_inverse=True)[1],
            families.tolist().index("0 ridge") + 1,
            self._scores(np.concatenate(kept), some),
        )
        return Sample(self.labels[learn], np.arange(LEARN), {"spread": settings}, settings)

    def _of_layer(
        self, x: np.ndarray, learn: np.ndarray, new: np.ndarray, some: np.ndarray, name: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the classifier of each of m settings, and what they predict.

        Of images to learn from by models that did not see them, (REPEATS, m, LEARN); of new ones by
        the models of the first repeat, each for its part, (m, NEW); of some by the kept models.
        """
        labels = self.labels[learn]
        validated, on_new = self._cross_validated(x[learn], labels, x[new], 0)
        again = [self._cross_validated(x[learn], labels, x[:0], r)[0] for r in range(1, REPEATS)]
        families, kept = zip(*self._fitted(x[learn], labels, x[some]), strict=True)
        names = np.array([f"{name} {family}" for family in families])
        return names, np.stack([validated, *again]), on_new, np.stack(kept)

    def _scores(self, predicted: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        classes = int(self.labels.max()) + 1
        scores = [metrics.of_labels(self.labels[rows], given, classes) for given in predicted]
        return {name: np.array([float(score[name]) for score in scores]) for name in METRICS}

    def _cross_validated(
        self, x: np.ndarray, labels: np.ndarray, new: np.ndarray, repeat: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what each setting predicts of held-out images and of new ones, (m, n) each."""
        from sklearn.model_selection import StratifiedKFold

        held_out, on_new = [], []
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
        for fold, (train, held) in enumerate(folds.split(labels, labels)):
            unseen = np.concatenate([x[held], new[fold::FOLDS]])
            predicted = np.stack([of for _, of in self._fitted(x[train], labels[train], unseen)])
            held_out.append((held, predicted[:, : len(held)]))
            on_new.append((np.arange(len(new))[fold::FOLDS], predicted[:, len(held) :]))
        return _in_order(held_out), _in_order(on_new)

    def _fitted(
        self, x: np.ndarray, labels: np.ndarray, unseen: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the classifier of each setting, and the classes that it predicts, int64 (m,)."""
        one_hot = np.eye(int(self.labels.max()) + 1, dtype=np.float32)[labels]
        for scores in _neighbours(x, one_hot, unseen):
            yield "neighbours", scores.argmax(axis=1)
        for scores in _discriminant(x, one_hot, unseen):
            yield "discriminant", scores.argmax(axis=1)
        for weighted in self.weighted:
            weights = (one_hot / one_hot.sum(axis=0)).sum(axis=1) if weighted else np.ones(len(x))
            for scores in _ridge(x, one_hot, unseen, weights.astype(np.float32)):
                yield "ridge", scores.argmax(axis=1)
        means = (one_hot.T @ x) / one_hot.sum(axis=0)[:, None]
        yield "centroid", (unseen @ means.T - (means * means).sum(axis=1) / 2).argmax(axis=1)


def _in_order(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return columns of parts in the order of their places."""
    places = np.concatenate([places for places, _ in parts])
    return np.concatenate([columns for _, columns in parts], axis=1)[:, np.argsort(places)]


def _neighbours(x: np.ndarray, one_hot: np.ndarray, unseen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the votes of the nearest rows by cosine, (m, K), for each of `NEIGHBOURS`."""
    near = unseen @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    votes = np.zeros((len(unseen), one_hot.shape[1]), np.float32)
    for count in range(1, max(NEIGHBOURS) + 1):
        nearest = near.argmax(axis=1)
        votes += one_hot[nearest]
        near[np.arange(len(near)), nearest] = -np.inf
        if count in NEIGHBOURS:
            yield votes


def _ridge(
    x: np.ndarray, one_hot: np.ndarray, unseen: np.ndarray, weights: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the scores of ridge regression on class indicators, (m, K), by `PENALTIES`."""
    shares = (weights / weights.sum())[:, None]
    mean, target = (shares * x).sum(axis=0), (shares * one_hot).sum(axis=0)
    centred = x - mean
    covariance = centred.T @ (shares * centred)
    products = centred.T @ (shares * (one_hot - target))
    for penalty in PENALTIES:
        yield (unseen - mean) @ _solved(covariance, penalty, products) + target


def _discriminant(x: np.ndarray, one_hot: np.ndarray, unseen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the scores of linear discriminant analysis, (m, K), by `SHRINKAGES`."""
    sizes = one_hot.sum(axis=0)
    means = (one_hot.T @ x) / sizes[:, None]
    centred = x - one_hot @ means
    covariance = centred.T @ centred / len(x)
    for share in SHRINKAGES:
        weights = _solved((1 - share) * covariance, share / (1 - share), means.T)
        yield unseen @ weights - (means.T * weights).sum(axis=0) / 2 + np.log(sizes / len(x))


def _solved(covariance: np.ndarray, penalty: float, products: np.ndarray) -> np.ndarray:
    """Return the solution with a penalty, as a share of the mean variance, on the diagonal."""
    added = penalty * np.trace(covariance) / len(covariance)
    return np.linalg.solve(covariance + added * np.eye(len(covariance), dtype=np.float32), products)


def read(path: Path, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components, float32 (N, components), and labels, int64 (N,)."""
    with FeatureFile(path) as file:
        x, labels = file.features().astype(np.float32), file.labels.astype(np.int64)
    x -= x.mean(axis=0)
    _, vectors = np.linalg.eigh(x.T @ x)
    return x @ vectors[:, -components:], labels


def _by_id(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids in order, principal components and labels of their images."""
    with FeatureFile(path) as file:
        ids = np.array(file.ids)
    order = np.argsort(ids)
    x, labels = read(path, COMPONENTS)
    return ids[order], x[order], labels[order]
