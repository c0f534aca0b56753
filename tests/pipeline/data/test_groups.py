"""Groups of images that stay together: equal contents, equal names, and chains of these."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.groups import groups


def digests(contents):
    """A digest for each number, equal for equal numbers: uint8 (N, 16)."""
    numbers = np.asarray(contents, np.int64)
    # The number stands first and last, so that zeros at the end matter too.
    return np.stack([numbers, numbers], axis=1).view(np.uint8).reshape(len(numbers), 16)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["", "a", "b", "c"])), max_size=12),
)
def test_groups_join_what_chains_join(images):
    contents = [content for content, _ in images]
    names = np.array([name for _, name in images], dtype=object)
    found = groups(digests(contents), names)
    assert found.dtype == np.int64
    assert found.shape == (len(images),)
    together = np.array(
        [[a == b or (m == n != "") for b, n in images] for a, m in images], bool
    ).reshape(len(images), len(images))
    for _ in images:  # until it is transitive
        together = together @ together
    assert ((found[:, None] == found) == together).all()


def test_groups_without_a_column_are_equal_contents():
    assert len(set(groups(digests([1, 2, 1, 256, 1]), None).tolist())) == 3
    assert groups(digests([1, 2, 1]), None)[0] == groups(digests([1, 2, 1]), None)[2]
