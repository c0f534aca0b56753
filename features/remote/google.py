"""Google Cloud Storage, gs://: reads and writes that hold for the generation of an object alone."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from features.remote.attempts import ConflictError, StatusError
from features.remote.facts import Address, Facts
from features.remote.stores import PART_BYTES, Store

_NOT_THERE, _CHANGED, _CANCELLED, _ERRORS = 404, 412, 499, 400  # statuses


class GoogleStore(Store):
    """Google Cloud Storage: an object has a generation, which reads and writes are checked by."""

    checks_versions = True

    def _connect(self) -> Any:
        return _plain_files()(skip_instance_cache=True, use_listings_cache=False)

    def _range(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        _, content = self._run(
            self.files._call, "GET", self.files.url(path.url),
            headers={"Range": f"bytes={start}-{stop - 1}"}, ifGenerationMatch=facts.version,
        )  # fmt: skip
        return bytes(content)

    def check_writable(self, path: Address) -> None:
        """Begin an upload and give it up, which leaves nothing."""
        from gcsfs.core import initiate_upload

        def begin(bucket: str, key: str) -> None:
            begun = self._run(initiate_upload, self.files, bucket, key)
            with suppress(Exception):  # what is not ended is forgotten by the store after a week
                self._run(self.files._call, "DELETE", begun)

        self._check_begins(path, "bucket", begin)

    def _put(self, local: Path, path: Address, callback: Any, before: str | None) -> None:
        if before is None or local.stat().st_size > PART_BYTES:  # parts have no such condition
            super()._put(local, path, callback, before)
            return
        bucket, key, _ = self.files.split_path(path.url)
        place = f"{self.files._location}/upload/storage/v1/b/{quote(bucket)}/o"
        try:
            self._run(
                self.files._call, "POST", place, uploadType="media", name=key,
                ifGenerationMatch=before or "0", data=local.read_bytes(),
                headers={"Content-Type": "application/octet-stream"},
            )  # fmt: skip
        except StatusError as error:
            if error.status == _CHANGED:
                raise ConflictError(path) from None
            raise
        callback.absolute_update(local.stat().st_size)

    def _run(self, call: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self.files.loop, call, *args, **kwargs)


def _plain_files() -> type:
    """Return gcsfs without what it repeats and tells by itself, with errors as `attempt` knows."""
    from gcsfs.core import GCSFileSystem

    class Files(GCSFileSystem):
        async def _request(
            self, method: str, path: str, *args: str, headers: Any = None, json: Any = None,
            data: Any = None, cache_type: Any = None, cache_source: Any = None, **params: Any,
        ) -> tuple[int, Any, Any, bytes]:  # fmt: skip
            await self._set_session()
            async with self.session.request(
                method, self._format_path(path, args), params=self._get_params(params), json=json,
                headers=self._get_headers(headers), data=data, timeout=self.requests_timeout,
            ) as answer:  # fmt: skip
                content = await answer.read()
                if answer.status == _NOT_THERE:
                    raise FileNotFoundError
                if answer.status >= _ERRORS and answer.status != _CANCELLED:
                    raise StatusError(answer.status)
                return answer.status, answer.headers, answer.request_info, content

    return Files
