"""What a store says of an object."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

_VERSIONS = ("ETag", "generation", "etag", "md5Hash", "blob_id", "Last-Modified")


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
        md5: the MD5 of its content in hex; "" where the store says none.
    """

    name: str
    size: int
    version: str
    has_ranges: bool = True
    md5: str = ""

    @property
    def st_size(self) -> int:
        """The size in bytes, as `Path.stat` calls it."""
        return self.size


def facts_of(name: str, info: Mapping[str, Any]) -> Facts:
    """Return the facts that fsspec has of an object."""
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    return Facts(name, int(info.get("size") or 0), version.strip('"'), md5=_md5(info))


def _md5(info: Mapping[str, Any]) -> str:
    """Return the MD5 that Google or Azure gives of a content, in hex."""
    if (text := info.get("md5Hash")) is not None:
        return b64decode(text).hex()
    return bytes((info.get("content_settings") or {}).get("content_md5") or b"").hex()
