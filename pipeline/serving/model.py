"""A candidate for uploads: the bytes of image files in, rows and pictures of evidence out."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.records import UNLABELLED, ImageRecord, Split
from features.sources.base import Source
from pipeline.predictors.explaining import Explainer
from pipeline.predictors.judgement import Judge
from pipeline.predictors.of_images import ImagePredictor
from pipeline.reports.overlays import overlay
from pipeline.results.decisions import decide
from pipeline.results.new_predictions import ranked_columns


class Uploads(Source):
    """Image files whose bytes are at hand."""

    kind = "memory"

    def __init__(self, contents: list[bytes]) -> None:
        self.location, self._contents = Path(), contents
        self.labels = np.full(len(contents), UNLABELLED, np.int32)
        self.splits = np.full(len(contents), Split.NONE, np.uint8)

    def __len__(self) -> int:
        return len(self._contents)

    def __getitem__(self, index: int) -> ImageRecord:
        return ImageRecord(index, f"image {index}")

    def read(self, index: int) -> bytes:
        return self._contents[index]

    def extent(self, index: int) -> str:
        return str(len(self._contents[index]))


@dataclass(frozen=True)
class Model:
    """What a service knows and can do.

    Attributes:
        name: the name of the candidate.
        predictors: the candidate for batches of increasing size.
        judge: what tells of images all that is not their probabilities.
        explainer: what shows where evidence lies.
    """

    name: str
    predictors: tuple[ImagePredictor, ...]
    judge: Judge
    explainer: Explainer

    def predict(self, contents: list[bytes]) -> list[dict[str, Any]]:
        """Return a row for each image file, as JSON takes it; see `_row`."""
        predictor = next(
            (p for p in self.predictors if p.batch_size >= len(contents)), self.predictors[-1]
        )
        ids = [""] * len(contents)
        rows: list[dict[str, Any]] = []
        with closing(predictor.batches(Uploads(contents))) as batches:
            for batch in batches:
                vectors = predictor.vectors(batch.pixels)[batch.accepted]
                probabilities = predictor.probabilities(vectors)
                outcomes, seen = list(batch.outcomes), predictor.embedding(vectors)
                table = self.judge.table(ids[: len(outcomes)], outcomes, seen, probabilities)
                rows += table.to_pylist()
        return [self._row(row) for row in rows]

    def explain(self, content: bytes) -> bytes | None:
        """Return a PNG of the evidence for the class of an image, None where it is no image."""
        predictor = self.predictors[0]
        with closing(predictor.batches(Uploads([content]))) as batches:
            batch = next(batches)
        if not batch.accepted.size:
            return None
        probabilities = predictor.probabilities(predictor.vectors(batch.pixels)[:1])
        names = self.judge.class_names
        label = int(decide(self.judge.threshold, names, probabilities, temperature=1.0)[0])
        return overlay(batch.pixels[0], self.explainer.explain(batch.pixels[0], label).shown)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["problem"] is not None:
            return {"problem": row["problem"]}
        top = [
            {"class": row[of], "probability": round(row[value], 6)}
            for of, value in ranked_columns(self.judge.top)
        ]
        return {
            **top[0],
            "top": top,
            "set": row["set"],
            "familiarity": row["familiarity"],
            "unlike": row["unlike"],
        }
