"""Whether prediction sets hold the true class, and marks of unlike images are as rare, as promised.

    python -m benchmarks.prediction_sets                   simulated images, some minutes
    python -m benchmarks.prediction_sets features.h5 ...   images drawn from feature files, too

Each draw learns as `classify` does: a logistic regression is validated by five folds of groups, its
probabilities are calibrated by a temperature, and it is fitted once more on all images. Sets and
marks come from validation, and are judged on images of new groups. Columns, in percent:

    held        sets that hold the true class, of 95 promised; plain: by images, not by groups
    worst       the same in the class where it is lowest, over all draws
    size        classes in a set, on average; 1 is the least
    marked      images like those learned from that are marked as unlike, of 2 promised
    others      images of a class that was not learned, that are marked
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.storage.store import FeatureFile
from pipeline.config import PredictConfig
from pipeline.reports.tables import render
from pipeline.statistics import calibration, conformal, novelty

COVERAGE, ALARMS, FOLDS = PredictConfig.coverage, PredictConfig.alarms, 5
HEADER = ("images", "learned", "held", "plain", "worst", "size", "marked", "others")


@dataclass(frozen=True)
class Images:
    """Features float (n, D), labels int (n,) and groups int (n,)."""

    x: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Images":
        return Images(self.x[rows], self.labels[rows], self.groups[rows])


@dataclass(frozen=True)
class Draw:
    """Images to learn from, images to judge by, and images of a class that is not learned."""

    learned: Images
    new: Images
    others: np.ndarray


def simulated(count: int, groups: int, draws: int, classes: int = 3) -> Iterator[Draw]:
    """Yield clusters that overlap; of each group half of what varies is shared."""
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        size = count // groups
        centres = 1.6 * np.eye(classes + 1, 12)

        def some(number: int, first: int, rng=rng, size=size, centres=centres) -> Images:
            group = np.repeat(np.arange(first, first + number), size)
            labels = np.repeat(rng.choice(classes, number, p=(0.5, 0.35, 0.15)), size)
            own = rng.normal(size=(len(group), 12))
            shared = rng.normal(size=(number, 12)).repeat(size, axis=0)
            noise = own if size == 1 else np.sqrt(0.5) * (own + shared)
            return Images(centres[labels] + noise, labels, group)

        others = 6 * np.eye(12)[-1] + rng.normal(size=(200, 12))
        yield Draw(some(groups, 0), some(2000 // size, groups), others)


def from_file(path: Path, count: int, draws: int) -> Iterator[Draw]:
    """Yield draws of a file's images of all classes but the last; the rest judge."""
    with FeatureFile(path) as file:
        x, labels = np.asarray(file.features(), np.float32), file.labels
    known, last = np.flatnonzero((labels >= 0) & (labels < labels.max())), labels == labels.max()
    images = Images(x, labels, np.arange(len(x)))
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(known)
        yield Draw(images[order[:count]], images[order[count : count + 4000]], x[last][:2000])


def judge(draw: Draw) -> tuple[np.ndarray, ...]:
    """Return whether each new image's set holds its class, by groups and by images; and the rest.

    Returns:
        held, plain: bool (n,); labels: int (n,); sizes: int (n,); marked: bool (n,); marks of
        images of another class: bool (m,).
    """
    learned, new = draw.learned, draw.new
    classes = int(max(learned.labels.max(), new.labels.max())) + 1
    singles = np.arange(len(learned.labels))
    validated = np.zeros((len(singles), classes))
    for train, held in GroupKFold(FOLDS).split(learned.x, learned.labels, learned.groups):
        model = fitted(learned[train])
        validated[np.ix_(held, model.classes_)] = model.predict_proba(learned.x[held])
    temperature = calibration.temperature(validated, learned.labels)
    of_true = calibration.apply(validated, temperature)[None, singles, learned.labels]
    final = np.zeros((len(new.labels), classes))
    model = fitted(learned)
    final[:, model.classes_] = model.predict_proba(new.x)
    final = calibration.apply(final, temperature)
    sets, plain = (
        conformal.fit(of_true, learned.labels, groups, classes, COVERAGE).sets(final)
        for groups in (learned.groups, singles)
    )
    rows = np.arange(len(new.labels))
    familiarity = novelty.fit(learned.x, learned.groups)
    return (
        sets[rows, new.labels], plain[rows, new.labels], new.labels, sets.sum(axis=1),
        familiarity.of(new.x) <= ALARMS, familiarity.of(draw.others) <= ALARMS,
    )  # fmt: skip


def fitted(images: Images) -> LogisticRegression:
    """Return a fitted pipeline."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    return model.fit(images.x, images.labels)


def row(title: str, learned: str, draws: Iterator[Draw]) -> tuple[str, ...]:
    """Return the line of the table of one kind of images."""
    held, plain, labels, sizes, marked, others = (
        np.concatenate(values) for values in zip(*map(judge, draws), strict=True)
    )
    worst = min(held[labels == label].mean() for label in np.unique(labels))
    shares = (held.mean(), plain.mean(), worst)
    return (
        title, learned, *(f"{100 * share:.1f}" for share in shares), f"{sizes.mean():.2f}",
        f"{100 * marked.mean():.1f}", f"{100 * others.mean():.1f}",
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    options = _arguments()
    rows = [
        row("simulated", f"{count}", simulated(count, count, options.draws))
        for count in (100, 300, 1000)
    ]
    for groups in (40, 100):
        draws = simulated(10 * groups, groups, options.draws)
        rows.append(row("simulated", f"{groups} patients x 10", draws))
    for path in options.files:
        draws = from_file(path, 500, max(1, options.draws // 5))
        rows.append(row(path.stem, "500", draws))
    print(render(HEADER, rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="feature files")
    parser.add_argument("--draws", type=int, default=500, help="of each kind (default: 500)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
