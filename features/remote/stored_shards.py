"""The shards of a feature file that is made for a store lie in the store, too.

So all machines of a cluster see them, and a run that was stopped goes on from any machine. They
are the objects `<feature file>.partial/<first image>.h5`, and go when the file is whole.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from features.disk import durable
from features.remote import cache
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath, remote

_SHARD = re.compile(r"\d{10}\.h5")


def stored_shards(out: Path, folder: Path) -> "StoredShards | None":
    """Return the shards of a feature file in a store; None for a file on the disk.

    Args:
        out: the feature file.
        folder: the folder on this machine for its shards.
    """
    address = remote(out)
    return None if address is None else StoredShards(address, folder)


class StoredShards:
    """Shards in a store, and the folder in which they are written and read."""

    def __init__(self, out: RemotePath, folder: Path) -> None:
        self._address = out.with_name(f"{out.name}.partial")
        self._folder, self._store = folder, store_of(out.scheme)

    def __str__(self) -> str:
        return str(self._address)

    def put(self, name: str) -> None:
        """Put a shard of the folder into the store."""
        self._store.put(self._folder / name, self._address / name)

    def has(self, name: str) -> bool:
        """Tell whether the store has a shard."""
        return (self._address / name).exists()

    def bring(self, name: str) -> None:
        """Bring a shard into the folder, unless it is there or the store has none.

        Raises:
            DataError: it cannot be read.
        """
        address = self._address / name
        if not (self._folder / name).is_file():
            durable.make_folder(self._folder)
            with suppress(FileNotFoundError):
                cache.download(address, address.stat(), self._folder / name)

    def place(self, names: Iterable[tuple[str, str]], folder: Path) -> None:
        """Have the store copy shards to a folder of its own, each under another name."""
        place = remote(folder)
        assert place is not None  # noqa: S101 - it lies beside the feature file
        self._store.copy((self._address / name, place / new) for name, new in names)

    def names(self) -> list[str]:
        """Return the names of all shards in the store, in order."""
        listed: list[Facts] = []
        with suppress(FileNotFoundError):
            listed = self._store.listing(self._address)
        return sorted(facts.name for facts in listed if _SHARD.fullmatch(facts.name))

    def discard(self) -> None:
        """Remove the shards from the store."""
        self._store.remove([self._address / name for name in self.names()])
