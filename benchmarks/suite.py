"""The whole suite of classifiers against a plain grid search, on the same rows, in one run.

    python -m benchmarks.suite resnet50.h5                                 all of it
    python -m benchmarks.suite resnet50.h5 --classifiers logistic lda      two of them

Ours is `classify` with tuning and no budget, on rows spread evenly over a feature file, whose own
splits are kept. The competitor is `GridSearchCV(Pipeline(StandardScaler, estimator))` with
scikit-learn's estimators, on the same training and validation rows, with as many settings (see
`grid_search`). Both search, then fit the best setting on training and validation rows together.

How to read the columns:

    ours, theirs   seconds of search and last fit; both use all cores, one after the other
    ratio          theirs as a multiple of ours
    accuracy       of the chosen setting on the validation rows
    total          ours by the clock, from the feature file to the stored models, near-duplicates
                   and predictions; theirs is the sum of the seconds above it
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import grid_search, machine
from features.storage.row_blocks import Rows
from features.storage.store import FeatureFile
from features.storage.writer import write
from pipeline.classifiers import SUITE
from pipeline.config import ClassifyConfig
from pipeline.reports.tables import render
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import candidates
from pipeline.stages import classify

HEADER = ("classifier", "settings", "ours", "theirs", "ratio", "our accuracy", "their accuracy")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="suite-") as scratch:
        sample = take(arguments.features, Path(scratch) / "sample.h5", arguments.rows)
        results = Path(scratch) / "results"
        started = time.perf_counter()
        classify.run(
            ClassifyConfig(
                (sample,), results, tuple(arguments.classifiers), budget=None, progress=False
            )
        )
        total = time.perf_counter() - started
        rows = _compared(sample, results, arguments.limit)
        facts = _facts(arguments, sample)
    print(render(HEADER, [*(_cells(row, arguments.limit) for row in rows),
                          _total(rows, total, arguments.limit)]))  # fmt: skip
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if arguments.out:
        content = {"facts": facts, "rows": rows, "total": total}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")


def take(path: Path, target: Path, count: int) -> Path:
    """Write a feature file with `count` rows of another's deepest layer, spread evenly over it."""
    with FeatureFile(path) as file:
        places = np.arange(min(count, len(file))) * len(file) // min(count, len(file))
        layer, ids = file.layers[-1], file.ids
        recipe = dataclasses.replace(
            file.recipe, layers=(layer,), source=file.recipe.source | {"count": len(places)}
        )
        rows = Rows(
            {layer: file.features(layer, places)}, [ids[place] for place in places],
            file.digests[places], file.labels[places], file.splits[places], [],
        )  # fmt: skip
        attributes = {
            "class_names": json.dumps(file.class_names),
            "recipe": recipe.to_json(),
            "recipe_digest": recipe.digest,
        }
    with target.open("w+b") as stream:
        write(stream, [rows], rows.size, attributes)
    return target


def _compared(sample: Path, results: Path, limit: float) -> list[dict[str, Any]]:
    """Return the figures of each classifier, ours and theirs."""
    from tqdm import tqdm

    with FeatureFile(sample) as file:  # every row of it is labelled, or classify has left it out
        np.save(results / grid_search.MATRIX, file.features()[file.labels >= 0])
    records = {record.requested: (name, record) for name, record in candidates(results).items()}
    rows = []
    for classifier in tqdm([member for member in SUITE if member.name in records], unit="search"):
        name, record = records[classifier.name]
        predictions = Predictions.read(results / name / VALIDATION, record.class_names)
        hits = predictions.probabilities.argmax(axis=1) == predictions.labels
        rows.append({
            "classifier": classifier.name,
            "settings": len(classifier.space),
            "ours": record.seconds["search"] + record.seconds["fit"],
            "our accuracy": float(hits.mean()),
            "theirs": grid_search.run_search(results, classifier.name, limit),
        })  # fmt: skip
    return rows


def _cells(row: dict[str, Any], limit: float) -> list[str]:
    """Return the cells of a row as text."""
    theirs = row["theirs"]
    return [
        row["classifier"],
        str(row["settings"]),
        f"{row['ours']:.1f}",
        f"{theirs['seconds']:.1f}" if theirs else f"> {limit:.0f}",
        f"{'' if theirs else '> '}{(theirs['seconds'] if theirs else limit) / row['ours']:.1f}",
        f"{100 * row['our accuracy']:.1f} %",
        f"{100 * theirs['score']:.1f} %" if theirs else "",
    ]


def _total(rows: list[dict[str, Any]], ours: float, limit: float) -> list[str]:
    """Return the cells of the last row; a search beyond the limit counts as the limit."""
    theirs = sum(row["theirs"]["seconds"] if row["theirs"] else limit for row in rows)
    more = "" if all(row["theirs"] for row in rows) else "> "
    settings = sum(row["settings"] for row in rows)
    return ["total", str(settings), f"{ours:.1f}", f"{more}{theirs:.1f}",
            f"{more}{theirs / ours:.1f}", "", ""]  # fmt: skip


def _facts(arguments: argparse.Namespace, sample: Path) -> dict[str, str]:
    """Return the facts on which the figures depend."""
    with FeatureFile(sample) as file:
        rows, features, backbone = *file.shape(), file.recipe.backbone
    return {
        "rows": f"{rows:,} of {arguments.features.name}, {features} features of {backbone}",
    } | machine.facts("numpy", "scikit-learn", "keras")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.suite", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("features", type=Path, help="a feature file with labels")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--classifiers", nargs="+", default=(), metavar="NAME",
                        choices=tuple(grid_search.COMPETITORS))  # fmt: skip
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each of theirs")
    parser.add_argument("--out", type=Path, help="JSON file for rows and facts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
