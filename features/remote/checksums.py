"""Checksums of files on the disk, as stores have them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 2**22


def etag_of(path: Path, part_bytes: int | None) -> str:
    """Return the ETag that S3 gives a file: its MD5, or that of the MD5s of its parts.

    A store that encrypts gives others, which are then not equal to these.

    Args:
        path: the file.
        part_bytes: the bytes in each part that it was uploaded in; None: as a whole.
    """
    if part_bytes is None:
        return _md5(path, 0, path.stat().st_size).hex()
    starts = range(0, path.stat().st_size, part_bytes)
    parts = b"".join(_md5(path, start, part_bytes) for start in starts)
    return f"{hashlib.md5(parts, usedforsecurity=False).hexdigest()}-{len(starts)}"


def _md5(path: Path, start: int, size: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for block in _blocks(path, start, size):
        digest.update(block)
    return digest.digest()


def _blocks(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size and (block := file.read(min(size, _BLOCK_BYTES))):
            size -= len(block)
            yield block
