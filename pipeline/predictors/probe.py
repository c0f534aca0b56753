"""Whether a network gives the same vectors here as where its candidate was packed.

It is shown the same images in both places. They are drawn, so that a pack holds no photograph:
smooth fields and noise of all three colours, which excite a network as images do.
"""

import io
from dataclasses import dataclass

import numpy as np

from features.errors import DataError
from features.sources.npz import read_arrays
from features.text import for_terminal

IMAGES = 8
_COARSE = 8  # random values a side of the smooth fields


@dataclass(frozen=True)
class Probe:
    """What a network made of the drawn images.

    Attributes:
        vectors: float32 (n, D).
    """

    vectors: np.ndarray

    def difference(self, vectors: np.ndarray) -> float:
        """Return the largest difference of vectors here; raises DataError where widths differ.

        Batches of another size show fewer of the images, or more; those that both saw are compared.
        """
        if vectors.shape[1:] != self.vectors.shape[1:]:
            raise DataError(
                f"the network gives vectors of shape {vectors.shape[1:]}, and gave "
                f"{self.vectors.shape[1:]} when it was packed"
            )
        count = min(len(vectors), len(self.vectors))
        return largest_difference(vectors[:count], self.vectors[:count])

    def to_bytes(self) -> bytes:
        """Return it as an .npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, vectors=self.vectors)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Probe":
        """Read what `to_bytes` returned; raises DataError where it is something else."""
        try:
            vectors = read_arrays(content)["vectors"]
            if vectors.dtype != np.float32 or vectors.ndim != 2 or not vectors.size:
                raise ValueError(f"vectors of shape {vectors.shape} and type {vectors.dtype}")
            if not np.isfinite(vectors).all():
                raise ValueError("vectors that are not finite")
        except (ValueError, KeyError) as error:
            raise DataError(f"the probe cannot be read: {for_terminal(str(error), 300)}") from None
        return cls(vectors)


def largest_difference(vectors: np.ndarray, expected: np.ndarray) -> float:
    """Return the length of the largest difference as a share of the expected vector's own.

    Args:
        vectors: float (n, D).
        expected: float (n, D).
    """
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-12)
    return float((np.linalg.norm(vectors - expected, axis=1) / lengths).max())


def drawn_images(batch_size: int, size: tuple[int, int]) -> np.ndarray:
    """Return the same images everywhere, uint8 (batch_size, H, W, 3); `IMAGES` of them differ."""
    rng = np.random.Generator(np.random.PCG64(0))
    coarse = rng.integers(0, 256, (IMAGES, _COARSE, _COARSE, 3)).astype(np.float64)
    rows, columns = (np.linspace(0, _COARSE - 1, side) for side in size)
    smooth = _between(_between(coarse, rows, 1), columns, 2)
    noise = rng.integers(-20, 21, smooth.shape)
    images = np.clip(np.rint(smooth) + noise, 0, 255).astype(np.uint8)
    return images[np.arange(batch_size) % IMAGES]


def _between(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Return values between the grid's along an axis."""
    below = np.minimum(places.astype(np.int64), values.shape[axis] - 2)
    share = np.expand_dims(places - below, [a for a in range(values.ndim) if a != axis])
    low, high = (np.take(values, below + step, axis) for step in (0, 1))
    return low + share * (high - low)
