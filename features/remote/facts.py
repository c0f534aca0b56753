"""What a store says of an object."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "content_md5", "blob_id", "Last-Modified")


class Address(Protocol):
    """What a store needs of a `location.RemotePath`; as text it is without what is secret."""

    url: str
    scheme: str

    @property
    def name(self) -> str: ...


class Facts(NamedTuple):
    """What is known of an object.

    Attributes:
        name: its name; in a listing relative to the folder.
        size: its size in bytes.
        version: what the store changes with the content, such as its ETag; "" where it says none.
        has_ranges: whether parts of it can be asked for.
    """

    name: str
    size: int
    version: str
    has_ranges: bool = True

    @property
    def st_size(self) -> int:
        """The size in bytes, as `Path.stat` calls it."""
        return self.size


def facts_of(name: str, info: Mapping[str, Any]) -> Facts:
    """Return the facts that fsspec has of an object."""
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    return Facts(name, int(info.get("size") or 0), version.strip('"'))
