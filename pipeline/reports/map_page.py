"""A map as one offline page: points to zoom into, the image of each, classes and mistakes."""

import base64
import math
from typing import Any

import numpy as np

from pipeline.maps.names import middles
from pipeline.maps.quality import NEIGHBOURS, SAMPLE
from pipeline.reports import page
from pipeline.reports.palette import GREY, colours
from pipeline.results import thumbnails as pictures
from pipeline.results.map import LOCKED, Map, Points
from pipeline.results.records import versions
from pipeline.results.thumbnails import ImageLookup, Sprites

PIXELS = 64_000_000  # of all thumbnails together, about 20 MB; so many images, so small are they
SIDES = 16, 96  # of a thumbnail, at least and at most
_FULL = 65_535  # coordinates travel in 16 bits


def html(made: Map) -> str:
    """Return the page."""
    config, points = made.config, made.points
    side = max(SIDES[0], min(SIDES[1], math.isqrt(PIXELS // len(points))))
    sprites = pictures.sprites(
        ImageLookup.of_features(config.features, config.images), points.ids, side
    )
    return page.render(
        "map.html",
        made=made,
        facts=facts(made, sprites),
        sheets=[_text(sheet) for sheet in sprites.sheets],
        lost=pictures.summary(sprites.lost, len(points)),
        neighbours=NEIGHBOURS,
        sample=min(SAMPLE, len(points)),
        versions=versions("numpy", "openTSNE" if config.method == "tsne" else "umap-learn"),
    )


def facts(made: Map, sprites: Sprites) -> dict[str, Any]:
    """Return what the page's script works on; numbers an image are bytes in base64."""
    points, place = made.points, places(made.coordinates)
    parts = sorted(set(points.parts))
    return {
        "names": points.class_names,
        "colours": colours(len(points.class_names)),
        "grey": GREY,
        "ids": _shown_ids(points),
        "places": _text(place.tobytes()),
        "middles": middles(np.round(place / _FULL, 4), points.labels),
        "bytes": _dtype(points).itemsize,
        "labels": _codes(points.labels, points),
        "parts": parts,
        "part": _text(np.array([parts.index(one) for one in points.parts], np.uint8).tobytes()),
        "candidates": [
            {"name": one.name, "title": one.title, "predicted": _codes(one.predicted, points)}
            for one in points.candidates
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
    """Return ids, but of locked images the last part alone: folders above it may name the class."""
    return [
        image.rpartition("/")[2] if part == LOCKED else image
        for image, part in zip(points.ids, points.parts, strict=True)
    ]


def _dtype(points: Points) -> np.dtype:
    """Return what holds the number of a class, and one number more."""
    return np.dtype("u1" if len(points.class_names) < 256 else "<u2")


def _codes(labels: np.ndarray, points: Points) -> str:
    """Return labels in base64; what has none becomes the number of classes."""
    codes = np.where(labels < 0, len(points.class_names), labels)
    return _text(codes.astype(_dtype(points)).tobytes())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
