"""PNG without what does not change its pixels, so that broken metadata costs no image."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from features.decoding.limits import MAX_CHUNKS
from features.decoding.rejection import RejectedImage

_SIGNATURE_BYTES, _FRAME_BYTES = 8, 12  # a chunk has a length, a name and a checksum
_METADATA_BYTES = 2**20  # of orientation; what is larger was not written by a camera
_XMP = b"XML:com.adobe.xmp\0\0"  # uncompressed; it may hold the orientation
_KEY_BYTES = {0: (2,), 2: (6,), 3: range(1, 257)}  # of transparency, by colour type


class _Chunk(NamedTuple):
    name: bytes
    start: int
    data: memoryview
    end: int
    is_whole: bool  # its checksum is right


def without_metadata(content: bytes) -> bytes:
    """Return a PNG with the chunks that make its pixels and its orientation alone.

    Of an animation the default image stays. Optional chunks that are damaged are left out, as
    libpng does.

    Raises:
        RejectedImage: a chunk that makes the pixels is damaged, or there are too many.
    """
    kept, copied = [content[:_SIGNATURE_BYTES]], 0
    colours = content[25] if len(content) > 25 else 0
    end = _SIGNATURE_BYTES
    for number, chunk in enumerate(_chunks(content)):
        if number >= MAX_CHUNKS:
            raise RejectedImage(f"more than {MAX_CHUNKS:,} chunks, which no tool writes")
        end = chunk.end
        if _is_kept(chunk, colours):
            kept.append(content[chunk.start : chunk.end])
            copied += chunk.end - chunk.start
    if copied == end - _SIGNATURE_BYTES:
        return content
    return b"".join([*kept, content[end:]])


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Yield the whole chunks up to the end of the image."""
    view, start, name = memoryview(content), _SIGNATURE_BYTES, b""
    while start + _FRAME_BYTES <= len(content) and name != b"IEND":
        length, name = struct.unpack_from(">I4s", content, start)
        end = start + _FRAME_BYTES + length
        if end > len(content):
            return
        checksum = struct.unpack_from(">I", content, end - 4)[0]
        is_whole = zlib.crc32(view[start + 4 : end - 4]) == checksum
        yield _Chunk(name, start, view[start + 8 : end - 4], end, is_whole)
        start = end


def _is_kept(chunk: _Chunk, colours: int) -> bool:
    if chunk.name[:1].isupper():  # it makes the pixels
        if not chunk.is_whole:
            raise RejectedImage(f"damaged: the checksum of its chunk {chunk.name!r:.9} is wrong")
        return True
    if not chunk.is_whole:
        return False
    if chunk.name == b"tRNS":
        return len(chunk.data) in _KEY_BYTES.get(colours, ())
    is_orientation = chunk.name == b"eXIf" or (
        chunk.name == b"iTXt" and bytes(chunk.data[: len(_XMP)]) == _XMP
    )
    return is_orientation and len(chunk.data) <= _METADATA_BYTES
