"""The address of something in a store, which stands where a `Path` is expected."""

import io
import posixpath
from pathlib import Path
from typing import Any, cast

from features.remote.facts import Facts
from features.remote.schemes import SCHEMES, check_scheme, restored, scheme_of, shown


class RemotePath:
    """A URL with those methods of `Path` that are used of sources and feature files.

    It is no `os.PathLike`: what needs a file on the disk takes `cache.fetched`. As text it is
    shown without what is secret.

    Attributes:
        url: the URL as it was given; never to be shown or written.
        scheme: its scheme.
    """

    def __init__(self, url: str, facts: Facts | None = None) -> None:
        """Keep a URL; UsageError where its scheme is not taken.

        Args:
            url: the URL.
            facts: what is known of the object, so that another one in its place is noticed.
        """
        self.scheme = check_scheme(url)
        url = f"{self.scheme}{url[len(self.scheme) :]}"
        self.url = url if "?" in url else url.rstrip("/")
        self._facts = facts

    def __str__(self) -> str:
        return shown(self.url)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def is_store(self) -> bool:
        """Whether it lies in a store, which can be listed."""
        return SCHEMES[self.scheme].is_store

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self._split()[0])

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> "RemotePath":
        """The folder it lies in."""
        path, query = self._split()
        return RemotePath(path[: len(path) - len(self.name) - 1] + query)

    def with_name(self, name: str) -> "RemotePath":
        """Return the address of another name in the same folder."""
        return self.parent / name

    def __truediv__(self, name: str) -> "RemotePath":
        path, query = self._split()
        return RemotePath(f"{path}/{name}{query}")

    def joined(self, relative: str) -> "RemotePath":
        """Return the address that a relative path leads to, which may go up by `..`."""
        path, query = self._split()
        top = path.find("/", len(self.scheme) + 3)
        root, place = (path, "/") if top < 0 else (path[:top], path[top:])
        place = posixpath.normpath(posixpath.join(place, relative))
        return RemotePath(f"{root}/{place.lstrip('/')}".rstrip("/") + query)

    def resolve(self) -> "RemotePath":
        """Return itself: it is absolute."""
        return self

    absolute = expanduser = resolve

    def stat(self) -> Facts:
        """Return size and version of the object; OSError where there is none."""
        from features.remote.connections import store_of

        return self._facts or store_of(self.scheme).facts(self)

    def exists(self) -> bool:
        """Tell whether there is an object; DataError where that cannot be found out."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    is_file = exists

    def is_dir(self) -> bool:
        """Tell whether it is a folder: here, that it is no object."""
        return self.is_store and not self.exists()

    def pinned(self) -> "RemotePath":
        """Return the same address, which stands for the object as it is now; OSError for none."""
        return RemotePath(self.url, self.stat())

    def open(self, mode: str = "rb") -> io.RawIOBase:
        """Return the object, open for reading by ranges; it must not change meanwhile."""
        from features.remote.ranged import RangedFile

        if mode != "rb":
            raise ValueError(f"{mode!r}: a remote object is opened by 'rb' alone")
        return RangedFile(self, self.stat())

    def open_in_order(self) -> io.RawIOBase:
        """Return the object, open for reading from its beginning to its end; as `open`."""
        from features.remote.ranged import FIRST_BYTES, RangedFile

        return RangedFile(self, self.stat(), FIRST_BYTES)

    def _split(self) -> tuple[str, str]:
        """Return the URL without its query, and the query with its question mark."""
        if self.is_store:  # where a name may have a question mark
            return self.url, ""
        path, mark, query = self.url.partition("?")
        return path, mark + query


def is_remote(path: object) -> bool:
    """Tell whether a path is the address of something in a store."""
    return isinstance(path, RemotePath)


def as_remote(text: str) -> Path | None:
    """Return the address that a text is, None where it is no URL.

    It is given out as a `Path`, for which it stands.

    Raises:
        UsageError: its scheme is not taken.
    """
    url = restored(text)
    return cast("Path", RemotePath(url)) if scheme_of(url) else None


def remote(path: Any) -> RemotePath | None:
    """Return a path as what it is if it is remote, else None."""
    return path if isinstance(path, RemotePath) else None
