"""The IDX format of the MNIST family: a magic number, the sizes, then bytes in C order.

Magic number: two zero bytes, 0x08 for unsigned bytes, the number of dimensions; each size is a
big-endian 32-bit integer (LeCun's MNIST page describes it).
"""

import struct

import numpy as np

from features.errors import DataError

_UNSIGNED_BYTE = 0x08


def decode(data: bytes, dimensions: int) -> np.ndarray:
    """Return the uint8 array of `dimensions` axes that an IDX file holds.

    Raises:
        DataError: the magic number is another one, or there are more or fewer bytes than it says.
    """
    magic, start = bytes([0, 0, _UNSIGNED_BYTE, dimensions]), 4 + 4 * dimensions
    if data[:4] != magic or len(data) < start:
        raise DataError(
            f"an IDX file starts with {data[:start].hex()}, expected {magic.hex()} and "
            f"{dimensions} sizes of 4 bytes"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    values = np.frombuffer(data, np.uint8)[start:]
    if values.size != np.prod(shape, dtype=np.int64):
        raise DataError(f"an IDX file of shape {shape} holds {values.size} bytes")
    return values.reshape(shape)


def encode(values: np.ndarray) -> bytes:
    """Return a uint8 array as an IDX file."""
    header = struct.pack(f">HBB{values.ndim}I", 0, _UNSIGNED_BYTE, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()
