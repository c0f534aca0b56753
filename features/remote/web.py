"""Objects of web servers, https:// and http://: they are read, and neither listed nor written."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from features.errors import UsageError
from features.remote.attempts import ChangedError, StatusError, WrongLengthError, attempt
from features.remote.facts import Address, Facts
from features.remote.stores import READERS, Advance, Store

_STEP = 2**18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_MOST_REDIRECTS = 5


class Web(Store):
    """Web servers. A part of an object is asked for by a range, and its ETag compared.

    What is known of an object is asked for by the range of its first byte: an address that is
    signed for GET has no HEAD.
    """

    def _connect(self) -> Any:
        import aiohttp
        import fsspec

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        settings = {
            "timeout": timeout, "trust_env": True, "raise_for_status": False,
            "headers": {"Accept-Encoding": "identity"},  # sizes are those of what is sent
        }  # fmt: skip

        async def client(**kwargs: Any) -> Any:
            connector = aiohttp.TCPConnector(limit=2 * READERS)
            return aiohttp.ClientSession(connector=connector, **kwargs)

        return fsspec.filesystem(
            "https", skip_instance_cache=True, client_kwargs=settings, get_client=client
        )

    def facts(self, path: Address) -> Facts:
        answer = attempt(path, lambda: self._ask(path, (0, 1), most=1))
        return answer[0]

    def pages(self, path: Address) -> Iterator[list[Facts]]:
        raise UsageError(
            f"{path}: a folder cannot be listed over {path.scheme}://; give an archive, or a "
            "manifest of URLs"
        )

    def _range(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        now, content = self._ask(path, (start, stop), most=stop - start)
        if (now.size, now.version) != (facts.size, facts.version):
            raise ChangedError
        return content

    def read_whole(self, path: Address, most: int) -> bytes:
        return attempt(path, lambda: self._ask(path, None, most + 1)[1])

    def _ask(self, path: Address, part: tuple[int, int] | None, most: int) -> tuple[Facts, bytes]:
        from fsspec.asyn import sync

        answer: tuple[Facts, bytes] = sync(self.files.loop, self._get, path, part, most)
        return answer

    async def _get(
        self, path: Address, part: tuple[int, int] | None, most: int
    ) -> tuple[Facts, bytes]:
        """Return facts and content of an object, or of a part of it, but `most` bytes at most."""
        import yarl

        session = await self.files.set_session()
        headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
        url = yarl.URL(path.url, encoded="%" in path.url)
        async with session.get(url, headers=headers, max_redirects=_MOST_REDIRECTS) as answer:
            if answer.status == 416 and part == (0, 1):  # it is empty
                return Facts(path.name, 0, _version(answer)), b""
            if answer.status not in (200, 206):
                raise StatusError(answer.status)
            place = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
            if part is None or (answer.status == 200 and part == (0, 1)):
                size = int(answer.headers.get("Content-Length", -1))
                facts = Facts(path.name, size, _version(answer), has_ranges=part is None)
            elif place is None or int(place[1]) != part[0]:
                raise WrongLengthError
            else:
                facts = Facts(path.name, int(place[3]), _version(answer))
            return facts, await _content(answer, most)

    def check_writable(self, path: Address) -> NoReturn:
        raise UsageError(
            f"{path} cannot be written to; give a path, or a place in a store such as s3://"
        )

    def fetch(self, path: Address, target: Any) -> None:
        """Write an object to an open file, from a server that gives no parts."""
        attempt(path, lambda: self._fetch(path, target))

    def _fetch(self, path: Address, target: Any) -> None:
        target.seek(0)
        target.truncate(0)
        self.files.get_file(path.url, target)

    def put(
        self,
        local: Path,
        path: Address,
        advance: Advance = lambda count: None,
        before: str | None = None,
    ) -> Facts:
        self.check_writable(path)


def _version(answer: Any) -> str:
    headers = answer.headers
    return str(headers.get("ETag") or headers.get("Last-Modified") or "").strip('"')


async def _content(answer: Any, most: int) -> bytes:
    """Return the content of an answer, which may be longer than it says, up to `most` bytes."""
    content = bytearray()
    while len(content) < most and (block := await answer.content.read(_STEP)):
        content += block
    return bytes(content[:most])
