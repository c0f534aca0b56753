"""Thumbnails of the images behind features, read again from their source and checked.

Pages show images of which only ids and digests are kept. Their source is opened anew; images that
are missing or have changed since are named by id, and the page is made without them.
"""

import base64
import io
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.arguments import as_location
from features.decoding import RejectedImage, decode
from features.errors import DataError, OffshelfError
from features.processes.cpus import available_cpus
from features.records import blake2b
from features.remote.location import is_remote
from features.sources import open_source
from features.sources.base import Source
from features.storage.store import FeatureFile

if TYPE_CHECKING:
    from PIL.Image import Image

Content = bytes | np.ndarray | str  # of an image, or the reason why it cannot be read

SIDE = 64  # pixels of a thumbnail's longer side
SHEET = 2048  # pixels of a sheet's side: a browser decodes it at once, and within its limits
CHANGED = "has changed since its features were extracted"
UNKNOWN = "its source is not known; say with --images where the images lie"

_QUALITY = 80  # of WebP
_PREFETCH = 256  # images read ahead


@dataclass(frozen=True)
class ImageLookup:
    """The source of images, and the digests by which they are checked.

    Attributes:
        location: their source, as `features.sources.open_source` takes it; None where it is not
            known.
        digests: digests of images by id, 16 bytes each; other images are not checked.
    """

    location: Path | None
    digests: Mapping[str, bytes]

    @classmethod
    def of_features(
        cls, path: Path, location: Path | None = None, ids: Sequence[str] | None = None
    ) -> "ImageLookup":
        """Return the lookup of a feature file's images.

        Args:
            path: the feature file.
            location: the source of the images, if it has moved; None takes the source that the
                file names, relative to the file's folder or to the working folder.
            ids: the images that will be looked up; None: any.

        Raises:
            DataError: the feature file cannot be read.
        """
        with FeatureFile(path) as file:
            known, stored = file.ids, file.digests
            if ids is not None:
                places = known.places_of(ids)
                places = places[places >= 0]
                known, stored = known[places], stored[places]
            digests = dict(zip(known, map(bytes, stored), strict=True))
            named = file.provenance.get("source")
        if named and not location:
            beside = path.parent / named
            is_beside = not is_remote(path) and beside.exists()
            location = beside if is_beside else as_location(named, "source")
        return cls(location, digests)


@dataclass(frozen=True)
class Thumbnails:
    """Small images by id, as WebP, and the reason for each image that is missing."""

    encoded: dict[str, bytes]
    lost: dict[str, str]

    def uri(self, image: str) -> str | None:
        """Return an image as a data URI; None where it is missing."""
        encoded = self.encoded.get(image)
        return None if encoded is None else data_uri(encoded)


@dataclass(frozen=True)
class Sprites:
    """Many thumbnails on few sheets.

    Cell c of a sheet is at column c % across, row c // across, of `side` pixels; the image fills
    its upper left corner. Images fill the cells of the first sheet, then those of the second.

    Attributes:
        sheets: WebP files of `across` times `side` pixels a side, or fewer at the last one.
        side: the side of a cell in pixels.
        across: cells in a row, and rows of a full sheet.
        cells: int32 (n,): the cell of each image, counted through all sheets; -1 where it is
            missing.
        sizes: uint8 (n, 2): width and height of each image in pixels; 0 where it is missing.
        lost: the reason for each missing image, by id.
    """

    sheets: tuple[bytes, ...]
    side: int
    across: int
    cells: np.ndarray
    sizes: np.ndarray
    lost: dict[str, str]


def thumbnails(lookup: ImageLookup, ids: Sequence[str], side: int = SIDE) -> Thumbnails:
    """Return images so small that they fit a square of `side` pixels; none is enlarged."""
    encoded, lost, ids = {}, {}, list(dict.fromkeys(ids))
    for place, picture in pictures(lookup, ids, side):
        if isinstance(picture, str):
            lost[ids[place]] = picture
        else:
            encoded[ids[place]] = _webp(picture)
    return Thumbnails(encoded, lost)


def sprites(
    lookup: ImageLookup, ids: Sequence[str], side: int = SIDE, sheet: int = SHEET
) -> Sprites:
    """Return images as `thumbnails` does, on sheets of at most `sheet` pixels a side.

    Args:
        lookup: the source of the images.
        ids: n ids, each once.
        side: the side of a thumbnail in pixels, at most 255.
        sheet: the side of a sheet in pixels, from `side` to 16,383, the limit of WebP.
    """
    cells, sizes = np.full(len(ids), -1, np.int32), np.zeros((len(ids), 2), np.uint8)
    lost: dict[str, str] = {}
    images: list[Image] = []
    for place, picture in pictures(lookup, ids, side):
        if isinstance(picture, str):
            lost[ids[place]] = picture
        else:
            cells[place], sizes[place] = len(images), picture.size
            images.append(picture)
    side = int(sizes.max(initial=1))
    across = sheet // side
    starts = range(0, len(images), across**2)
    with ThreadPoolExecutor(available_cpus()) as pool:
        sheets = pool.map(lambda start: _sheet(images[start : start + across**2], side, across),
                          starts)  # fmt: skip
        return Sprites(tuple(sheets), side, across, cells, sizes, lost)


def pictures(
    lookup: ImageLookup, ids: Sequence[str], side: int
) -> "Iterator[tuple[int, Image | str]]":
    """Yield each image's place in `ids` once, and its thumbnail, or the reason why there is none.

    They come in the order of the source, and threads decode them ahead of their use.
    """
    try:
        if lookup.location is None:
            raise DataError(UNKNOWN)
        source = open_source(lookup.location)
    except OffshelfError as error:
        reason = str(error)
        yield from ((place, reason) for place in range(len(ids)))
        return
    with source:
        places = {image: place for place, image in enumerate(ids)}
        known = [(record.index, places.pop(record.id)) for record in source if record.id in places]
        for place in places.values():
            yield place, f"is not in {lookup.location} any more"
        with closing(_decoded(source, lookup, known, ids, side)) as decoded:
            yield from decoded


def summary(lost: Mapping[str, str], asked: int) -> list[str]:
    """Return a line for each reason why images cannot be shown, the most common first."""
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
    source: Source, lookup: ImageLookup, known: list[tuple[int, int]], ids: Sequence[str], side: int
) -> "Generator[tuple[int, Image | str]]":
    """Yield place and thumbnail of images by index and place, in that order."""
    under_way: deque[tuple[int, Future[Image | str]]] = deque()
    pool = ThreadPoolExecutor(available_cpus(), "thumbnail")
    try:
        for index, place in known:
            content = partial(_content, source, index)
            if source.sequential:  # several threads would make it seek back and forth
                content = partial(_identity, content())
            task = pool.submit(_thumbnail, content, lookup.digests.get(ids[place]), side)
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


def _identity(content: Content) -> Content:
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


def _sheet(images: "Sequence[Image]", side: int, across: int) -> bytes:
    """Return thumbnails on one sheet, as wide and as high as they need."""
    from PIL import Image

    columns, rows = min(across, len(images)), -(-len(images) // across)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for cell, image in enumerate(images):
        sheet.paste(image, (cell % across * side, cell // across * side))
    return _webp(sheet)


def _webp(image: "Image") -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=_QUALITY, method=4)
    return stream.getvalue()
