"""Sources of images: `open_source` returns one kind of `Source` for whatever a path points to."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from features.arguments import SplitFolders, as_location, as_splits, check_count
from features.errors import DataError, UsageError
from features.records import Split
from features.remote import cache
from features.remote.attempts import NO_BUCKET
from features.remote.location import RemotePath, remote
from features.sources.archive import ArchiveSource
from features.sources.base import ListedSource, Source, Subset
from features.sources.files import check_regular
from features.sources.folder import FolderSource
from features.sources.kinds import IMAGE_SUFFIXES
from features.sources.layout import lay_out
from features.sources.manifest import MANIFEST_SUFFIXES, ManifestSource
from features.sources.remote_folder import RemoteFolderSource
from features.sources.tarred import TAR_SUFFIXES, TarArchive
from features.sources.webdataset import (
    WebDatasetSource,
    expand,
    is_pattern,
    is_webdataset,
    open_shards,
)
from features.sources.zipped import ZipArchive

_NAMED_KINDS = 5  # of files that were ignored, in an error
_SEGMENT = re.compile(r"\.(z\d\d|(zip|tar|tgz|7z|gz)\.?(\d{3}|part[a-z0-9]+))$", re.IGNORECASE)

ACCEPTED = (
    "a folder of images, a manifest (.csv, .tsv, .parquet), an archive (.zip, .tar, .tar.gz, .tgz, "
    ".tar.xz, .tar.bz2), WebDataset shards (name-{000..012}.tar) or arrays (.npz, .h5, .hdf5)"
)


def open_source(
    path: str | Path, limit: int | None = None, splits: SplitFolders | None = None
) -> Source:
    """Return the images that `path` points to.

    Args:
        path: a folder (of class folders, of train/validation/test folders, flat, or of WebDataset
            tars), a manifest, a zip or tar of any of these, a pattern of shards, or a file of
            arrays; or the URL of one of these.
        limit: take that many images, evenly spread over the source, so that classes and splits
            keep their proportions; None takes all.
        splits: which folder holds which split, such as {"train": "training_set"}, where their
            names do not say so; None goes by the names.

    Raises:
        UsageError: there is nothing at `path`, it is of an unknown kind, `limit` is below 1, or
            `splits` names a folder that does not exist.
        DataError: there are no images, or the file is not what its suffix promises.
    """
    path = as_location(path, "source")
    limit = None if limit is None else check_count(limit, "limit")
    pairs = None if splits is None else as_splits(splits, "splits")
    try:
        source = _open(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror or error}") from None
    count = len(source)
    if not count:
        source.close()
        others = Counter(source.passed_over)
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(_NAMED_KINDS))
        raise DataError(
            f"no images found in {path}: {others.total()} other files were ignored"
            f"{f' ({kinds})' if kinds else ''}; read are {', '.join(IMAGE_SUFFIXES)}"
            f"{''.join(f'; {warning}' for warning in source.warnings)}"
        )
    if pairs is not None:
        _name_splits(source, pairs)
    if limit is None or limit >= count:
        return source
    return Subset(source, np.arange(limit, dtype=np.int64) * count // limit)


def is_source(path: Path) -> bool:
    """Tell whether a path names many images, by its suffix, or as a folder; else it is a file."""
    by_suffix = any(path.name.lower().endswith(suffixes) for suffixes, _ in _OPENERS)
    return by_suffix or path.is_dir() or is_pattern(str(path))


def _name_splits(source: Source, pairs: tuple[tuple[str, str], ...]) -> None:
    """Lay a source out anew by folders that are splits, as the user says."""
    try:
        if not isinstance(source, ListedSource) or not source.is_by_folders:
            raise UsageError(
                f"--splits names folders, but {source.location} does not have its labels by "
                "folders; leave the option out"
            )
        named = {folder: Split[split.upper()] for split, folder in pairs}
        laid_out = lay_out(source.ids, named)
    except UsageError:
        source.close()
        raise
    source.labels, source.splits, source.class_names = laid_out


def _open(path: Path) -> Source:
    if (address := remote(path)) is not None:
        return _open_remote(path, address)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        if is_pattern(str(path)):
            return open_shards(path, expand(str(path)))
        raise UsageError(f"there is nothing at {path}; expected {ACCEPTED}")
    check_regular(path)
    for suffixes, opener in _OPENERS:
        if path.name.lower().endswith(suffixes):
            return opener(path)
    if _SEGMENT.search(path.name):
        raise UsageError(f"{path} is a segment of a split archive; join all segments to one first")
    raise UsageError(f"{path} is of an unknown kind; expected {ACCEPTED}")


def _open_remote(path: Path, address: RemotePath) -> Source:
    """Return the source behind a URL, whose suffix says what it is; else it is a folder."""
    if is_pattern(address.url):
        return open_shards(path, expand(address.url))
    for suffixes, opener in _OPENERS:
        if address.name.lower().endswith(suffixes):
            try:
                pinned = address.pinned()
            except FileNotFoundError as error:
                raise UsageError(f"there is nothing at {path}{_where(error)}") from None
            has_ranges = pinned.stat().has_ranges and opener is not _open_arrays
            source = opener(pinned if has_ranges else cache.fetched(path))  # type: ignore[arg-type]
            source.location, source.version = path, pinned.stat().version
            return source
    folder = RemoteFolderSource(address)
    return folder if len(folder) or not folder.shards else open_shards(path, folder.shards)


def _where(error: FileNotFoundError) -> str:
    return f": {error.strerror}" if error.strerror == NO_BUCKET else ""


def _open_folder(path: Path) -> Source:
    source = FolderSource(path)
    if not len(source) and (shards := list(path.glob("*.tar"))):
        return open_shards(path, shards)
    return source


def _open_archive(path: Path) -> Source:
    is_zip = path.name.lower().endswith(".zip")
    archive = ZipArchive(path) if is_zip else TarArchive(path)
    with ExitStack() as stack:
        stack.callback(archive.close)
        source: Source
        if isinstance(archive, TarArchive) and is_webdataset(archive):
            source = WebDatasetSource(path, [archive])
        else:
            source = ArchiveSource(path, archive)
        stack.pop_all()
    return source


def _open_arrays(path: Path) -> Source:
    from features.sources.arrays import ArraySource

    return ArraySource(path)


_OPENERS: tuple[tuple[tuple[str, ...], Callable[[Path], Source]], ...] = (
    (MANIFEST_SUFFIXES, ManifestSource),
    ((".zip", *TAR_SUFFIXES), _open_archive),
    ((".npz", ".h5", ".hdf5"), _open_arrays),
)
