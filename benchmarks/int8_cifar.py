"""What int8 costs on the full test split of CIFAR-10: a linear probe on each precision, in pairs.

Run by `python -m benchmarks.int8 --cifar data/cifar10.h5`. Features are kept, and a run that was
stopped goes on from them. A ridge regression on the classes learns from drawn training images, at
the penalty that is best in five folds of these; then all precisions are judged on the same 10,000
images of the test split:

    accuracy    of the probe on the test split
    difference  its accuracy minus that on features of float32, in points, with the 95 % interval
                of a bootstrap over images, which covers the draw of test images alone
    only        test images that this precision alone tells right, and float32 alone
    p           exact McNemar test of these two numbers
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from features.config import ExtractConfig
from features.disk import durable
from features.extraction.run import run
from features.records import Split
from features.storage.store import FeatureFile
from pipeline.statistics.significance import mcnemar

HEADER = ("network", "precision", "accuracy", "difference", "only", "p")
PENALTIES = (1e3, 3e3, 1e4, 3e4, 1e5)
RESAMPLES = 10_000


def rows(
    cifar: Path, backbone: str, precisions: list[str], train: int, keep: Path, size: int
) -> Iterator[tuple[str, ...]]:
    """Yield a row of the table for each precision, the first of which is float32.

    Args:
        cifar: the file that `python -m pipeline fetch cifar10` wrote.
        backbone: the name of the network.
        precisions: names of precisions.
        train: the number of training images, as many of each class.
        keep: the folder in which images and features are kept.
        size: pixels a side that the network sees.
    """
    keep.mkdir(parents=True, exist_ok=True)
    source = _drawn(cifar, train, keep / f"cifar10-{train}.npz")
    exact: np.ndarray | None = None
    for precision in precisions:
        out = keep / f"cifar10-{train}-{backbone}-{size}-{precision}.h5"
        run(ExtractConfig(source, out, backbone, precision=precision, engine="openvino",
                          image_size=size))  # fmt: skip
        right = _right(out)
        exact = right if exact is None else exact
        yield (backbone, precision, f"{100 * right.mean():.2f} %", *_compared(exact, right))


def _drawn(cifar: Path, train: int, path: Path) -> Path:
    """Write drawn training images and all test images to an `.npz`, where it is not there yet."""
    import h5py

    if path.exists():
        return path
    with h5py.File(cifar) as file:
        pixels, labels, splits = (file[name][:] for name in ("images", "labels", "split"))
    rng = np.random.default_rng(0)
    of_train, of_test = (np.flatnonzero(splits == s) for s in (Split.TRAIN, Split.TEST))
    each = [
        rng.permutation(of_train[labels[of_train] == label])[: train // 10] for label in range(10)
    ]
    drawn = np.sort(np.concatenate(each))
    with durable.replacing(path) as draft, draft.open("wb") as file:
        np.savez(
            file, x_train=pixels[drawn], y_train=labels[drawn],
            x_test=pixels[of_test], y_test=labels[of_test],
        )  # fmt: skip
    return path


def _right(path: Path) -> np.ndarray:
    """Return which test images a probe tells right, bool (10000,)."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with FeatureFile(path) as file:
        x, labels, splits = file.features(), np.array(file.labels), np.array(file.splits)
    train, test = splits == Split.TRAIN, splits == Split.TEST
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RidgeClassifier()),
        {"ridgeclassifier__alpha": PENALTIES},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    )
    found = search.fit(x[train], labels[train]).predict(x[test])
    return np.asarray(found == labels[test])


def _compared(exact: np.ndarray, right: np.ndarray) -> tuple[str, str, str]:
    """Return difference with interval, discordant images and p, as text; of float32 nothing."""
    if exact is right:
        return "", "", ""
    count = len(exact)
    ours, theirs = int((right & ~exact).sum()), int((exact & ~right).sum())
    shares = np.array([ours, theirs, count - ours - theirs]) / count
    draws = np.random.default_rng(0).multinomial(count, shares, RESAMPLES)
    low, high = 100 * np.percentile(draws[:, 0] - draws[:, 1], [2.5, 97.5]) / count
    difference = 100 * (ours - theirs) / count
    p = mcnemar(np.stack([right, exact]))[0, 1]
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})", f"{ours}/{theirs}", f"{p:.2f}"
