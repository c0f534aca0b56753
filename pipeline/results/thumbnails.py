"""The images behind features, found again, checked and made small enough for a page.

Pages show images of which only ids and digests are kept. Their source is opened anew; what has
gone or changed since is told by id, and the page is made without it.
"""

import base64
import io
import json
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.decoding import RejectedImage, decode
from features.errors import DataError, OffshelfError
from features.loading import available_cpus
from features.records import blake2b
from features.sources import open_source
from features.sources.base import Source
from features.store import FeatureFile

if TYPE_CHECKING:
    from PIL.Image import Image

Content = bytes | np.ndarray | str  # of an image, or the reason why it cannot be had

SIDE = 64  # pixels of a thumbnail's longer side
SHEET = 2048  # of a sheet: decoded by a browser in an instant, and within every limit
CHANGED = "has changed since its features were extracted"
UNKNOWN = "its source is not known; say with --images where the images lie"

_QUALITY = 80  # of WebP
_PREFETCH = 256  # images read ahead


@dataclass(frozen=True)
class ImageLookup:
    """Where images were, and what they must still be.

    Attributes:
        location: their source, as for `features.sources.open_source`; None where nobody knows.
        digests: of images by id, 16 bytes each; an image that is not in it is taken as it is.
    """

    location: Path | None
    digests: Mapping[str, bytes]

    @classmethod
    def of_features(cls, path: Path, location: Path | None = None) -> "ImageLookup":
        """Return the origin of a feature file's images.

        Args:
            path: of the feature file.
            location: where the source lies now; None: where the file says that it was, which may
                be relative to the folder that it was made in, or to its own.

        Raises:
            DataError: the feature file cannot be read.
        """
        with FeatureFile(path) as file:
            digests = dict(zip(file.ids, map(bytes, file.digests), strict=True))
            named = json.loads(str(file.attributes.get("provenance", "{}"))).get("source")
        if named and not location:
            beside = path.parent / named
            location = beside if beside.exists() else Path(named)
        return cls(location, digests)


@dataclass(frozen=True)
class Thumbnails:
    """Small images by id, as WebP, and the reason for each that is not among them."""

    encoded: dict[str, bytes]
    lost: dict[str, str]

    def uri(self, image: str) -> str | None:
        """Return an image as a data URI, None where it is lost."""
        encoded = self.encoded.get(image)
        return None if encoded is None else data_uri(encoded)


@dataclass(frozen=True)
class Sprites:
    """Many thumbnails on few sheets.

    Cell c of a sheet is at column c % across, row c // across, of `side` pixels; the image fills
    its upper left corner. Images fill the cells of the first sheet, then those of the second.

    Attributes:
        sheets: WebP files of `across` times `side` pixels a side, or fewer at the last one.
        side: of a cell, in pixels.
        across: cells in a row, and rows of a full sheet.
        cells: int32 (n,): the cell of each image asked for, counted through all sheets; -1 where
            it is lost.
        sizes: uint8 (n, 2): width and height of each in pixels; 0 where it is lost.
        lost: the reason by id.
    """

    sheets: tuple[bytes, ...]
    side: int
    across: int
    cells: np.ndarray
    sizes: np.ndarray
    lost: dict[str, str]


def thumbnails(origin: ImageLookup, ids: Sequence[str], side: int = SIDE) -> Thumbnails:
    """Return images so small that they fit a square of `side` pixels; none is enlarged."""
    encoded, lost, ids = {}, {}, list(dict.fromkeys(ids))
    for place, picture in pictures(origin, ids, side):
        if isinstance(picture, str):
            lost[ids[place]] = picture
        else:
            encoded[ids[place]] = _webp(picture)
    return Thumbnails(encoded, lost)


def sprites(
    origin: ImageLookup, ids: Sequence[str], side: int = SIDE, sheet: int = SHEET
) -> Sprites:
    """Return images as `thumbnails` does, on sheets of at most `sheet` pixels a side.

    Args:
        origin: of the images.
        ids: n of them, each once.
        side: at most 255.
        sheet: at most 16,383, WebP's limit, and at least `side`.
    """
    cells, sizes = np.full(len(ids), -1, np.int32), np.zeros((len(ids), 2), np.uint8)
    lost: dict[str, str] = {}
    found: list[Image] = []
    for place, picture in pictures(origin, ids, side):
        if isinstance(picture, str):
            lost[ids[place]] = picture
        else:
            cells[place], sizes[place] = len(found), picture.size
            found.append(picture)
    side = int(sizes.max(initial=1))
    across = sheet // side
    starts = range(0, len(found), across**2)
    with ThreadPoolExecutor(available_cpus()) as pool:
        sheets = pool.map(lambda start: _sheet(found[start : start + across**2], side, across),
                          starts)  # fmt: skip
        return Sprites(tuple(sheets), side, across, cells, sizes, lost)


def pictures(
    origin: ImageLookup, ids: Sequence[str], side: int
) -> "Iterator[tuple[int, Image | str]]":
    """Yield each image's place in `ids` once, and its thumbnail, or the reason why there is none.

    They come in the source's order, decoded by threads ahead of their use.
    """
    try:
        if origin.location is None:
            raise DataError(UNKNOWN)
        source = open_source(origin.location)
    except OffshelfError as error:
        reason = str(error)
        yield from ((place, reason) for place in range(len(ids)))
        return
    with source:
        places = {image: place for place, image in enumerate(ids)}
        there = [(record.index, places.pop(record.id)) for record in source if record.id in places]
        for place in places.values():
            yield place, f"is not in {origin.location} any more"
        with closing(_decoded(source, origin, there, ids, side)) as found:
            yield from found


def summary(lost: Mapping[str, str], asked: int) -> list[str]:
    """Return what a page says of images it cannot show: a line a reason, the commonest first."""
    lines = []
    for reason, count in Counter(lost.values()).most_common():
        named = [image for image, why in lost.items() if why == reason][:3]
        such = f"such as {', '.join(named)}" if count > len(named) else ", ".join(named)
        lines.append(f"not shown: {count:,} of {asked:,} images ({such}): {reason}")
    return lines


def data_uri(encoded: bytes, kind: str = "image/webp") -> str:
    """Return a file as a URI that holds it."""
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"


def _decoded(
    source: Source, origin: ImageLookup, there: list[tuple[int, int]], ids: Sequence[str], side: int
) -> "Generator[tuple[int, Image | str]]":
    """Yield place and thumbnail of the images at (index, place), in that order."""
    under_way: deque[tuple[int, Future[Image | str]]] = deque()
    pool = ThreadPoolExecutor(available_cpus(), "thumbnail")
    try:
        for index, place in there:
            content = partial(_content, source, index)
            if source.sequential:  # several threads would have it searched to and fro
                content = partial(_as_it_is, content())
            task = pool.submit(_thumbnail, content, origin.digests.get(ids[place]), side)
            under_way.append((place, task))
            if len(under_way) > _PREFETCH:
                place, task = under_way.popleft()
                yield place, task.result()
        for place, task in under_way:
            yield place, task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _content(source: Source, index: int) -> Content:
    try:
        return source.read(index)
    except (OSError, DataError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _as_it_is(content: Content) -> Content:
    return content


def _thumbnail(read: Callable[[], Content], digest: bytes | None, side: int) -> "Image | str":
    """Return an image that fits the square, or the reason why there is none."""
    content = read()
    if isinstance(content, str):
        return content
    raw = content if isinstance(content, bytes) else content.tobytes()
    if digest is not None and blake2b(raw) != digest:
        return CHANGED
    try:
        image = decode(content, 2 * side)
    except RejectedImage as error:
        return str(error)
    image.thumbnail((side, side))
    return image


def _sheet(found: "Sequence[Image]", side: int, across: int) -> bytes:
    """Return thumbnails on one sheet, as wide and as high as they need."""
    from PIL import Image

    columns, rows = min(across, len(found)), -(-len(found) // across)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for cell, image in enumerate(found):
        sheet.paste(image, (cell % across * side, cell // across * side))
    return _webp(sheet)


def _webp(image: "Image") -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=_QUALITY, method=4)
    return stream.getvalue()
