"""A map as one offline page: points to zoom into, the image of each, classes and mistakes."""

import base64
import math
from typing import Any

import numpy as np

from features.remote.homes import names_only
from pipeline.maps.names import middles
from pipeline.maps.quality import NEIGHBOURS, SAMPLE
from pipeline.reports import page
from pipeline.reports.palette import GREY, colours
from pipeline.results import thumbnails as pictures
from pipeline.results.map import LOCKED, Map, Points
from pipeline.results.records import versions
from pipeline.results.thumbnails import ImageLookup, Sprites

PIXELS = 64_000_000  # of all thumbnails together, about 20 MB: many images are shown smaller
SIDES = 16, 96  # pixels of a thumbnail's side, at least and at most
_FULL = 65_535  # coordinates travel in 16 bits


def html(layout: Map) -> str:
    """Return the page."""
    config, points = layout.config, layout.points
    side = max(SIDES[0], min(SIDES[1], math.isqrt(PIXELS // len(points))))
    lookup = ImageLookup.of_features(config.features, config.images, points.ids)
    sprites = pictures.sprites(lookup, points.ids, side)
    where = str(lookup.location or "")
    return page.render(
        "map.html",
        layout=layout,
        facts=facts(layout, sprites),
        sheets=[_text(sheet) for sheet in sprites.sheets],
        lost=[
            line.replace(where, names_only(where)) if where else line
            for line in pictures.summary(sprites.lost, len(points))
        ],
        neighbours=NEIGHBOURS,
        sample=min(SAMPLE, len(points)),
        versions=versions("numpy", "openTSNE" if config.method == "tsne" else "umap-learn"),
    )


def facts(layout: Map, sprites: Sprites) -> dict[str, Any]:
    """Return the data of the page's script; numbers of images are bytes in base64."""
    points, place = layout.points, places(layout.coordinates)
    splits = sorted(set(points.splits))
    return {
        "names": points.class_names,
        "colours": colours(len(points.class_names)),
        "grey": GREY,
        "ids": _shown_ids(points),
        "places": _text(place.tobytes()),
        "middles": middles(np.round(place / _FULL, 4), points.labels),
        "bytes": _dtype(points).itemsize,
        "labels": _codes(points.labels, points),
        "splits": splits,
        "split": _text(np.array([splits.index(name) for name in points.splits], "u1").tobytes()),
        "candidates": [
            {
                "name": candidate.name,
                "title": candidate.title,
                "predicted": _codes(candidate.predicted, points),
            }
            for candidate in points.candidates
        ],
        "side": sprites.side,
        "across": sprites.across,
        "cells": _text(sprites.cells.astype("<i4").tobytes()),
        "sizes": _text(sprites.sizes.tobytes()),
    }


def places(coordinates: np.ndarray) -> np.ndarray:
    """Return coordinates (N, 2) scaled alike on both axes to 0 .. 65535, in the middle: uint16."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    scale = _FULL / (float((high - low).max()) or 1.0)
    middle = (low.astype(np.float64) + high) / 2
    return np.round((coordinates - middle) * scale + _FULL / 2).clip(0, _FULL).astype("<u2")


def _shown_ids(points: Points) -> list[str]:
    """Return ids; of locked images the file name alone, as folders may be named by class."""
    return [
        image.rpartition("/")[2] if split == LOCKED else image
        for image, split in zip(points.ids, points.splits, strict=True)
    ]


def _dtype(points: Points) -> np.dtype:
    """Return the type that holds the number of a class, and one number more."""
    return np.dtype("u1" if len(points.class_names) < 256 else "<u2")


def _codes(labels: np.ndarray, points: Points) -> str:
    """Return labels in base64; no label becomes the number of classes."""
    codes = np.where(labels < 0, len(points.class_names), labels)
    return _text(codes.astype(_dtype(points)).tobytes())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
