"""All that a candidate needs to predict, from a results folder or from a pack.

A pack is a zip of a small results folder with the candidate alone:

    pack.json                      what it is, the SHA-256 of each file, and a seal
    <candidate>/record.json        without the paths of the machine that made it
    <candidate>/model.skops, .keras
    <candidate>/evidence.npz       what sets of classes and marks of unlike images rest on
    <candidate>/probe.npz          what the network makes of drawn images
    network/                       the backbone as OpenVINO keeps it, where it was asked for
    models/untrusted/...           the model of an estimator of an analyst's own
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from features.disk import documents, sealed
from features.disk.below import below
from features.errors import DataError, UsageError
from pipeline.config.choices import PACK_SUFFIX
from pipeline.predictors.evidence import Evidence, gather
from pipeline.predictors.locked import check_known
from pipeline.predictors.probe import Probe
from pipeline.results.choosing import chosen
from pipeline.results.records import RECORD, Record, read_record

NOTE, EVIDENCE, PROBE, NETWORK = "pack.json", "evidence.npz", "probe.npz", "network"
SCHEMA = 1
_CHUNK = 2**20


@dataclass(frozen=True)
class Kit:
    """A candidate and what belongs to it.

    Attributes:
        results: the folder that holds the candidate's, while the kit is open.
        record: its record.
        gathered: what returns what sets and marks rest on.
        probe: by which the features are shown to be the same elsewhere; None in a results folder.
        converted: a folder with the backbone as OpenVINO keeps it; None where it is not packed.
    """

    results: Path
    record: Record
    gathered: Callable[[], Evidence]
    probe: Probe | None = None
    converted: Path | None = None

    @cached_property
    def evidence(self) -> Evidence:
        """What sets and marks rest on, gathered when it is asked for.

        Raises:
            DataError: splits or predictions on validation cannot be read.
        """
        return self.gathered()


@contextmanager
def open_kit(
    place: Path, candidate: str, metric: str | None = None, features: Path | None = None
) -> Iterator[Kit]:
    """Yield the kit of a candidate.

    Args:
        place: a results folder, the folder of one candidate in it, or a pack.
        candidate: its name, "best" on validation or "recommended"; of no meaning for the others.
        metric: the metric that ranks.
        features: where the feature file lies now, if it has moved.

    Raises:
        UsageError: there is nothing at the place, or no such candidate.
        DataError: a file is missing, damaged or was changed.
    """
    if place.suffix == PACK_SUFFIX and not place.is_dir():
        with tempfile.TemporaryDirectory(prefix="offshelf-pack-") as folder:
            yield _unpacked(place, Path(folder))
        return
    if (place / RECORD).is_file():
        place, candidate = place.parent, place.name
    record, _ = chosen(place, candidate, metric)
    yield kit_of(place, record, features)


def kit_of(results: Path, record: Record, features: Path | None = None) -> Kit:
    """Return the kit of a candidate by its record.

    Args:
        results: the results folder.
        record: the record.
        features: where the feature file lies now, if it has moved.

    Raises:
        UsageError: the candidate is another tool's.
    """
    check_known(record)
    return Kit(results, record, lambda: gather(results, record, features))


@dataclass(frozen=True)
class PackNote:
    """What `pack.json` holds beside its seal.

    Attributes:
        schema: the version of the layout.
        candidate: the name of the candidate, which is that of its folder.
        files: the SHA-256 of each file in the pack, by its path.
        network: the name of the folder below `network`; empty where it is not packed.
        versions: of Python and the libraries that packed it.
        created: time of packing, ISO 8601 in UTC.
    """

    schema: int
    candidate: str
    files: dict[str, documents.Sha256]
    network: str
    versions: dict[str, str]
    created: str


def _unpacked(path: Path, folder: Path) -> Kit:
    """Unpack a pack into an empty folder and return its kit."""
    if not path.is_file():
        raise UsageError(f"there is no {path}; expected a results folder, or a pack")
    try:
        with zipfile.ZipFile(path) as pack:
            note = _read_note(pack)
            for name, digest in note.files.items():
                _extract(pack, name, digest, folder)
    except (OSError, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as a pack: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}; pack the candidate again") from None
    home = folder / note.candidate
    record, evidence = read_record(home), Evidence.from_bytes((home / EVIDENCE).read_bytes())
    evidence.check(len(record.class_names), record.inputs.get("dimensions"))
    return Kit(
        folder,
        record,
        lambda: evidence,
        Probe.from_bytes((home / PROBE).read_bytes()) if (home / PROBE).exists() else None,
        folder / NETWORK / note.network if note.network else None,
    )


def _read_note(pack: zipfile.ZipFile) -> PackNote:
    """Return the note of a pack; raises DataError where it is none of ours."""
    info = pack.getinfo(NOTE)
    if info.file_size > documents.SIZE:
        raise DataError(f"{NOTE} is larger than {documents.SIZE} bytes")
    content = pack.read(info)
    if not sealed.is_intact(documents.decode(content, dict[str, Any], NOTE)):
        raise DataError(f"{NOTE} has changed since it was written")
    note = documents.decode(content, PackNote, NOTE)
    if note.schema != SCHEMA:
        raise DataError(f"its schema is {note.schema}, this version reads {SCHEMA}")
    inside = (f"{note.candidate}/{RECORD}", f"{note.candidate}/{EVIDENCE}")
    if "/" in note.candidate or not all(name in note.files for name in inside):
        raise DataError(f"{NOTE} names no candidate that is in it")
    return note


def _extract(pack: zipfile.ZipFile, name: str, digest: str, folder: Path) -> None:
    """Write a file of a pack below a folder; raises DataError where it is not what the note says.

    Files are stored as they are, so that none can be larger than the pack.
    """
    place = below(folder, name)
    if place is None or "\\" in name:
        raise DataError(f"{name!r} leads out of it")
    info, hasher = pack.getinfo(name), hashlib.sha256()
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise DataError(f"{name} is compressed, expected files as they are")
    place.parent.mkdir(parents=True, exist_ok=True)
    with pack.open(info) as file, place.open("xb") as copy:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            copy.write(chunk)
    if hasher.hexdigest() != digest:
        raise DataError(f"{name} has changed since it was packed")
