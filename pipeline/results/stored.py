"""Results folders and files in stores: which files belong to them, and what makes them whole."""

from contextlib import suppress
from pathlib import Path, PurePosixPath

from features.remote.attempts import telling_repeats
from features.remote.facts import Facts
from features.remote.location import RemotePath, remote
from features.remote.mirror import Mirror
from pipeline.data.splits import FILE as SPLITS
from pipeline.results.records import RECORD, UNTRUSTED

# Suffixes of what a results folder has: at its top, and in the folder of a candidate.
_SHARED = {".json", ".csv", ".parquet"}
_OWN = {".json", ".parquet", ".npz", ".skops", ".keras"}


class ResultsMirror(Mirror):
    """A results folder; a candidate is a unit, and there when its record is."""

    def fits(self, name: str) -> bool:
        place = PurePosixPath(name)
        if place.name.startswith(".") or name.startswith("."):
            return False
        if str(place.parent.parent) == UNTRUSTED:
            return place.suffix == ".joblib"
        return place.suffix in (_SHARED, _OWN, ())[min(len(place.parts), 3) - 1]

    def unit(self, name: str) -> str:
        parts = name.split("/")
        return name if len(parts) == 1 else f"{parts[-2]}/"

    def marker(self, unit: str) -> str:
        return f"{unit}{RECORD}" if unit.endswith("/") else ""

    def order(self, name: str) -> int:
        return int(name != SPLITS)


class FilesMirror(Mirror):
    """A file that a stage writes, and those that it writes beside it under the same name."""

    def __init__(self, out: RemotePath) -> None:
        super().__init__(out, out.parent)
        suffixes = (".csv", ".json", ".submission.csv")
        self._named = dict.fromkeys([out.name, *(out.stem + suffix for suffix in suffixes)])

    def fits(self, name: str) -> bool:
        return name in self._named

    def _listed(self) -> dict[str, Facts]:
        listed = {}
        for name in self._named:
            with suppress(FileNotFoundError):
                listed[name] = self._store.facts(self.address / name)
        return listed


def copy_of(address: RemotePath) -> Path:
    """Return the copy on this machine of a results folder in a store, which is brought before."""
    mirror = ResultsMirror(address)
    with telling_repeats():
        mirror.bring()
    return mirror.folder


def local_path(out: Path) -> Path:
    """Return where a stage writes a file: `out`, or its copy on this machine; nothing is asked."""
    address = remote(out)
    return out if address is None else FilesMirror(address).folder / address.name
