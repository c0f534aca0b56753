"""Rows and recipes for tests of the store."""

import dataclasses

import numpy as np

from features.disk import durable
from features.records import Recipe
from features.storage import writer
from features.storage.row_blocks import Rows, Size


def recipe(**changes) -> Recipe:
    values = {
        "backbone": "vgg16",
        "weights": {"origin": "random", "sha256": "seed 0"},
        "layers": ("b", "a"),
        "pooling": "avg",
        "image_size": (32, 48),
        "given_size": (32, 48),
        "decoding": "reduced",
        "resize": "stretch",
        "interpolation": "bilinear",
        "scaling": {"name": "caffe"},
        "engine": "tensorflow",
        "precision": "float32",
        "store": "float32",
        "batch_size": 4,
        "source": {"kind": "folder", "count": 11, "fingerprint": "f"},
        "versions": {"numpy": "2"},
    }
    return Recipe(**(values | changes))


def rows(first: int, count: int, rejected: int = 0) -> Rows:
    rng = np.random.default_rng(first)
    return Rows(
        features={
            "a": rng.normal(size=(count, 5)).astype(np.float32),
            "b": rng.normal(size=(count, 2, 2, 3)).astype(np.float32),
        },
        ids=[f"klasse/bild {first + n} åäö 猫.png" for n in range(count)],
        digests=rng.integers(0, 256, (count, 16), np.uint8),
        labels=rng.integers(-1, 2, count).astype(np.int32),
        splits=rng.integers(0, 4, count).astype(np.uint8),
        rejected=[(f"bad/{first + count + n}.png", "truncated") for n in range(rejected)],
        extra={
            "patient": [f"P{(first + n) ** 3}" for n in range(count)],
            "kamera å": [["", "Leica", "徕卡 "][n % 3] for n in range(count)],
        },
    )


def plain(**changes) -> Rows:
    """Four rows, none of them rejected, without further columns unless they are given."""
    return dataclasses.replace(rows(0, 4), **({"extra": {}} | changes))


def attributes(recipe: Recipe) -> dict:
    return {
        "class_names": '["cat", "dog"]',
        "recipe": recipe.to_json(),
        "recipe_digest": recipe.digest,
    }


def write(path, blocks, attributes, **other_size) -> None:
    size = dataclasses.replace(Size.of_all(block.size for block in blocks), **other_size)
    with durable.replacing(path) as draft:
        writer.write(draft, blocks, size, attributes)
