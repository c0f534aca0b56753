"""Our map against scikit-learn's t-SNE on the same principal components, in one run.

    python -m benchmarks.map                            on 5,000 synthetic points
    python -m benchmarks.map resnet50.h5 --rows 10000   on a feature file

Both get the same components and perplexity, start from the first two components, and use all cores;
everything else is the default of each (scikit-learn: Barnes-Hut, 1,000 iterations; ours:
750, of which 250 are exaggerated). The quality of both is measured alike, on the features.

How to read the columns:

    seconds           from the components to the coordinates, neighbours included
    processor         seconds of processor time, all cores together; it hardly depends on who
                      else uses the machine
    ratio             processor time as a multiple of ours
    10-NN accuracy    share of sampled points whose class most of their 10 neighbours have
    trustworthiness   1 where all that are neighbours in the map were so in the features
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from features.storage.store import FeatureFile
from pipeline.config import MapConfig
from pipeline.maps import layouts
from pipeline.maps.quality import measure
from pipeline.maps.reduction import principal
from pipeline.reports.tables import render

HEADER = ("", "seconds", "processor", "ratio", "10-NN accuracy", "trustworthiness")


def main() -> None:
    arguments = _arguments()
    x, labels, source = _read(arguments) if arguments.features else _synthetic(arguments)
    scores = principal(x, MapConfig.components, 0).scores
    maps: dict[str, Any] = {}
    times: dict[str, tuple[float, float]] = {}
    for name, run in (("ours", _ours), ("scikit-learn", _theirs)):
        started, busy = time.perf_counter(), time.process_time()
        maps[name] = run(scores)
        times[name] = time.perf_counter() - started, time.process_time() - busy
    quality = measure(x, maps, labels, 0)
    rows = [
        (each.title, *times.get(each.title, (None, None)), each.accuracy, each.trustworthiness)
        for each in (*quality[1:], quality[0])
    ]
    print(render(HEADER, [_cells(row, times["ours"][1]) for row in rows]))
    facts = _facts(source)
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if arguments.out:
        names = ("layout", "seconds", "processor", "accuracy", "trustworthiness")
        content = {"facts": facts, "rows": [dict(zip(names, row, strict=True)) for row in rows]}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")


def _ours(scores: np.ndarray) -> np.ndarray:
    return layouts.tsne(scores, MapConfig.perplexity, 0, lambda done: None)


def _theirs(scores: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    start = (scores[:, :2] / scores[:, 0].std() * 1e-4).astype(np.float32)
    method = TSNE(perplexity=MapConfig.perplexity, init=start, n_jobs=-1, random_state=0)
    return method.fit_transform(scores)


def _read(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, str]:
    """Return rows spread evenly over a file: float32 (n, D), labels int32 (n,), and words."""
    with FeatureFile(arguments.features) as file:
        count = min(arguments.rows, len(file))
        places = np.arange(count) * len(file) // count
        x = file.features(rows=places).astype(np.float32)
        return (
            x,
            file.labels[places],
            f"{count:,} of {arguments.features.name}, {x.shape[1]} features",
        )


def _synthetic(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, str]:
    """Return points of 10 classes, three clusters each, on curved sheets in 512 dimensions."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, arguments.rows).astype(np.int32)
    clusters = 10 * rng.integers(0, 3, arguments.rows) + labels
    centres, bases = 1.2 * rng.normal(size=(30, 64)), rng.normal(size=(30, 8, 64))
    inner = np.einsum("ni,nij->nj", rng.normal(size=(arguments.rows, 8)), bases[clusters])
    curved = np.tanh((centres[clusters] + inner) / 3) + 0.1 * rng.normal(size=inner.shape)
    x = (curved @ rng.normal(size=(64, 512)) / 8).astype(np.float32)
    return x, labels, f"{arguments.rows:,} synthetic points of 10 classes, 512 features"


def _cells(row: tuple[Any, ...], ours: float) -> list[str]:
    title, seconds, busy, accuracy, trust = row
    return [
        title,
        "" if seconds is None else f"{seconds:.1f}",
        "" if busy is None else f"{busy:.1f}",
        "" if busy is None else f"{busy / ours:.1f}",
        "" if accuracy is None else f"{100 * accuracy:.1f} %",
        "" if trust is None else f"{trust:.3f}",
    ]


def _facts(source: str) -> dict[str, str]:
    """Return what the figures depend on."""
    settings = f"{MapConfig.components} components, perplexity {MapConfig.perplexity:g}"
    return {
        "points": f"{source}; {settings}",
    } | machine.facts("numpy", "openTSNE", "scikit-learn")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.map", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("features", type=Path, nargs="?", help="a feature file with labels")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--out", type=Path, help="JSON file for rows and facts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
