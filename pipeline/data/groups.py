"""Groups of images that must stay in one split."""

from collections.abc import Mapping, Sequence

import numpy as np


def groups(digests: np.ndarray, column: np.ndarray | None) -> np.ndarray:
    """Return a number for each image, int64 (N,), equal for images that must stay together.

    Images belong together when their content is equal, when they are equal in the column, and
    when a chain of such images joins them.

    Args:
        digests: uint8 (N, 16), of the images' content.
        column: strings (N,); "" stands for a group of its own. None: no column.
    """
    import pandas
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    contents = np.ascontiguousarray(digests).view(f"S{digests.shape[1]}").ravel()
    _, numbers = np.unique(contents, return_inverse=True)
    if column is None:
        return numbers.astype(np.int64)
    names, _ = pandas.factorize(np.asarray(column, dtype=object))
    named = np.flatnonzero(np.asarray(column, dtype=object) != "")
    # Contents and names are the nodes of a graph, and each named image joins two of them.
    start = numbers.max(initial=-1) + 1
    nodes = start + names.max(initial=-1) + 1
    edges = (np.ones(len(named), bool), (numbers[named], start + names[named]))
    _, joined = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
    return joined[numbers].astype(np.int64)


def columns_like_groups(columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> list[str]:
    """Return the columns whose values may name what belongs together, such as patients.

    Such a column repeats its values, at least twice on average, and has more of them than there
    are classes, so that it is not the label under another name.

    Args:
        columns: texts (N,) by the column's name; "" is no value.
        labels: int (N,).
    """
    classes = len(np.unique(labels))
    likely = []
    for name, texts in columns.items():
        values = [text for text in texts if text]
        distinct = len(set(values))
        if classes < distinct <= len(values) / 2 and len(values) > len(texts) / 2:
            likely.append(name)
    return likely
