"""What each kind of store can do: say what an object is, list, read, and take a file.

Every request goes through `attempts.attempt`. Credentials come from where the store's own tools
find them; nothing here takes, keeps or shows any.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from features.errors import UsageError
from features.remote.attempts import (
    NO_BUCKET,
    ConflictError,
    WrongLengthError,
    attempt,
    code_of,
)
from features.remote.facts import Address, Facts, facts_of
from features.remote.schemes import SCHEMES

Advance = Callable[[int], object]

READERS = 32  # requests at a time: at 50 ms each they bring 600 images a second
PART_BYTES = 2**26  # of a large file that is uploaded in parts

# What a request may take before it is tried again. `attempts` repeats, so that botocore does not.
_S3 = {
    "use_listings_cache": False,
    "local_expiry_check": True,  # the ETag of each answer is compared
    "config_kwargs": {
        "connect_timeout": 10, "read_timeout": 30, "max_pool_connections": 2 * READERS,
        "user_agent": "offshelf",  # else it is put together anew for each request
    },
}  # fmt: skip
_ONCE = {"retries": {"total_max_attempts": 1, "mode": "standard"}}


class Store:
    """Objects behind fsspec; S3 and the web do some things in another way."""

    checks_versions = False  # whether a read fails where the object is another than was listed

    def __init__(self, scheme: str) -> None:
        """Make the connection; nothing is asked yet."""
        self.scheme = scheme
        self.files = self._connect()
        self.lister = self.files

    def _connect(self) -> Any:
        import fsspec

        return fsspec.filesystem(SCHEMES[self.scheme].protocol, skip_instance_cache=True)

    def facts(self, path: Address) -> Facts:
        """Return what an object is; FileNotFoundError where there is none."""

        def ask() -> Facts:
            info = self.files.info(path.url)
            if info.get("type") == "directory":
                raise FileNotFoundError
            return facts_of(path.name, info)

        return attempt(path, ask)

    def listing(self, path: Address) -> list[Facts]:
        """Return all objects below a folder, by names relative to it, in no order."""
        return [facts for page in self.pages(path) for facts in page]

    def pages(self, path: Address) -> Iterator[list[Facts]]:
        """Yield what `listing` returns in parts: as the store answers, where that is known."""
        prefix = self.files._strip_protocol(path.url).rstrip("/") + "/"

        def ask() -> list[Facts]:
            found = self.lister.find(path.url, detail=True)
            return [
                facts_of(name.removeprefix(prefix), info)
                for name, info in found.items()
                if name.startswith(prefix) and not name.endswith("/")
            ]

        yield attempt(path, ask)

    def read(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        """Return the bytes `start` to `stop` of an object, both within it."""

        def ask() -> bytes:
            content = self._range(path, start, stop, facts)
            if len(content) != stop - start:
                raise WrongLengthError
            return content

        return attempt(path, ask) if stop > start else b""

    def _range(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        return bytes(self.files.cat_file(path.url, start=start, end=stop))

    def read_whole(self, path: Address, most: int) -> bytes:
        """Return an object whose size is not known; of a larger one the first `most` + 1 bytes."""
        return attempt(path, lambda: bytes(self.files.cat_file(path.url, start=0, end=most + 1)))

    def check_writable(self, path: Address) -> None:
        """Raise an error where it is known that no file can be put at a place."""

    def _check_begins(
        self, path: Address, outermost: str, begin: Callable[[str, str], object]
    ) -> None:
        """Raise an error where an upload to a place cannot begin; `begin` takes bucket and key."""
        bucket, key, _ = self.files.split_path(path.url)
        if not key:
            raise UsageError(f"{path} is a {outermost}; expected the name of a file in it")
        try:
            attempt(path, lambda: begin(bucket, key))
        except FileNotFoundError:
            raise UsageError(f"cannot write to {path}: {NO_BUCKET}") from None

    def put(
        self,
        local: Path,
        path: Address,
        advance: Advance = lambda count: None,
        before: str | None = None,
    ) -> Facts:
        """Put a file into the store; it is there whole, or what was there before.

        Args:
            local: the file.
            path: its place in the store.
            advance: is called with numbers of bytes when they were sent.
            before: the version that the object must have until then, "" where none may be there;
                None puts the file there in any case.

        Returns:
            What the store then says of the object.

        Raises:
            ConflictError: the object has another version.
            DataError: it cannot be written.
        """
        from fsspec.callbacks import Callback

        class Telling(Callback):
            def relative_update(self, inc: int = 1) -> None:
                advance(inc)

        try:
            attempt(path, lambda: self._put(local, path, Telling(), before))
        except ConflictError:  # or an answer was lost, and the file is there
            if not self._has_content_of(local, path):
                raise
        facts = self.facts(path)
        if facts.size != local.stat().st_size and before is None:
            attempt(path, lambda: self._put(local, path, Telling(), before))
            facts = self.facts(path)
        return facts

    def _put(self, local: Path, path: Address, callback: Any, before: str | None) -> None:
        self._check_version(path, before)
        self.files.put_file(os.fspath(local), path.url, callback=callback)

    def _check_version(self, path: Address, before: str | None) -> None:
        """Raise ConflictError where an object has another version; it may get one right after."""
        if before is None:
            return
        try:
            now = self.facts(path).version
        except FileNotFoundError:
            now = ""
        if now != before:
            raise ConflictError(path)

    def _has_content_of(self, local: Path, path: Address) -> bool:
        with suppress(FileNotFoundError):
            return self.is_content_of(local, self.facts(path))
        return False

    def remove(self, paths: Iterable[Address]) -> None:
        """Remove objects; those that are not there are gone already."""

        def remove(path: Address) -> None:
            with suppress(FileNotFoundError):
                attempt(path, lambda: self.files.rm_file(path.url))

        with ThreadPoolExecutor(READERS, "remove") as pool:
            for _ in pool.map(remove, paths):
                pass

    def copy(self, pairs: Iterable[tuple[Address, Address]]) -> None:
        """Copy objects to other places in the store, which does it by itself."""

        def copy(pair: tuple[Address, Address]) -> None:
            old, new = pair
            attempt(new, lambda: self.files.cp_file(old.url, new.url))

        with ThreadPoolExecutor(READERS, "copy") as pool:
            for _ in pool.map(copy, pairs):
                pass

    def is_content_of(self, local: Path, facts: Facts) -> bool:
        """Tell whether an object is shown by the store to have the content of a file."""
        from features.remote.checksums import etag_of

        has_same_size = facts.md5 != "" and local.stat().st_size == facts.size
        return has_same_size and etag_of(local, None) == facts.md5


class S3Store(Store):
    """S3, and what speaks like it: an object has an ETag, which each read is checked by."""

    checks_versions = True

    def __init__(self, scheme: str) -> None:
        import fsspec

        super().__init__(scheme)
        # Of many pages or parts one may fail, and they need not all be asked for again.
        self.lister = fsspec.filesystem("s3", skip_instance_cache=True, **_S3)

    def _connect(self) -> Any:
        import fsspec

        reading = _S3 | {"config_kwargs": _S3["config_kwargs"] | _ONCE}  # type: ignore[operator]
        files = fsspec.filesystem("s3", skip_instance_cache=True, **reading)
        files.retries = 1
        return files

    def pages(self, path: Address) -> Iterator[list[Facts]]:
        """Yield a page of 1,000 objects at a time; one that fails is asked for again by itself."""
        bucket, key, _ = self.files.split_path(path.url)
        prefix, token = f"{key.strip('/')}/" if key else "", dict[str, str]()

        def ask() -> dict[str, Any]:
            return self.files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **token)

        while True:
            page = attempt(path, ask)
            infos = ((info["Key"], info) for info in page.get("Contents", ()))
            yield [
                facts_of(key.removeprefix(prefix), info | {"size": info["Size"]})
                for key, info in infos
                if not key.endswith("/")
            ]
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _range(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        file = self.files.open(path.url, "rb", size=facts.size, cache_type="none")
        file.details = {"name": path.name, "size": facts.size, "ETag": f'"{facts.version}"'}
        return bytes(file._fetch_range(start, stop))

    def read_whole(self, path: Address, most: int) -> bytes:
        def ask() -> bytes:
            try:
                return bytes(self.files.cat_file(path.url, start=0, end=most + 1))
            except OSError as error:
                if code_of(error) == "InvalidRange":  # it is empty, without even a first byte
                    return b""
                raise

        return attempt(path, ask)

    def check_writable(self, path: Address) -> None:
        """Begin an upload and give it up, which leaves nothing."""

        def begin(bucket: str, key: str) -> None:
            begun = self.files.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
            self.files.call_s3(
                "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"]
            )

        self._check_begins(path, "bucket", begin)

    def _put(self, local: Path, path: Address, callback: Any, before: str | None) -> None:
        condition: dict[str, Any] = {}
        in_parts = local.stat().st_size >= 2 * PART_BYTES
        if before == "":
            condition = {"mode": "create"}
        elif before is not None and not in_parts:
            condition = {"IfMatch": before}
        else:  # parts have no such condition
            self._check_version(path, before)
        try:
            (self.lister if in_parts else self.files).put_file(
                os.fspath(local), path.url, callback=callback, chunksize=PART_BYTES, **condition
            )
        except FileNotFoundError as error:
            if before and code_of(error) == "NoSuchKey":
                raise ConflictError(path) from None
            raise

    def is_content_of(self, local: Path, facts: Facts) -> bool:
        from features.remote.checksums import etag_of

        part = PART_BYTES if "-" in facts.version else None
        return local.stat().st_size == facts.size and etag_of(local, part) == facts.version
