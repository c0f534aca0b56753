"""Azure Blob Storage, az://: reads and writes that hold for the version of a blob alone."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from features.remote.attempts import ConflictError, DeniedError, attempt, code_of
from features.remote.facts import Address, Facts, facts_of
from features.remote.stores import Store

_ONCE = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 30}  # `attempt` repeats
_CONFLICTS = {"ConditionNotMet", "BlobAlreadyExists"}


class AzureStore(Store):
    """Azure Blob Storage: a blob has an ETag, which each read and write is checked by."""

    checks_versions = True

    def _connect(self) -> Any:
        try:
            return super()._connect()
        except ValueError:  # it may tell of a connection string
            raise DeniedError(
                f"{self.scheme}://",
                "needs the name of an account; set AZURE_STORAGE_ACCOUNT_NAME, and credentials as "
                "Azure's own tools take them, or AZURE_STORAGE_CONNECTION_STRING",
            ) from None

    def facts(self, path: Address) -> Facts:
        def ask() -> Facts:
            blob = self._call(path, lambda client: client.get_blob_properties(**_ONCE))
            return facts_of(path.name, dict(blob))

        return attempt(path, ask)

    def _range(self, path: Address, start: int, stop: int, facts: Facts) -> bytes:
        async def read(client: Any) -> bytes:
            stream = await client.download_blob(
                start, stop - start, **_unchanged(facts.version), **_ONCE
            )
            return bytes(await stream.readall())

        return self._call(path, read)

    def check_writable(self, path: Address) -> None:
        """Begin to upload another blob, and never end, which leaves nothing that is seen.

        A blob that was begun could count as one that is there, so that it is not the same.
        """

        async def stage(client: Any) -> None:
            await client.stage_block("0" * 8, b"0", **_ONCE)

        self._check_begins(path, "container", lambda *_: self._call(path, stage, ".begun"))

    def _put(self, local: Path, path: Address, callback: Any, before: str | None) -> None:
        condition = {"overwrite": before != ""} | (_unchanged(before) if before else {})

        async def sent(now: int, total: int | None) -> None:
            callback.absolute_update(now)

        async def put(client: Any) -> None:
            with local.open("rb") as file:
                await client.upload_blob(file, progress_hook=sent, **condition, **_ONCE)

        try:
            self._call(path, put)
        except Exception as error:
            if code_of(error) not in _CONFLICTS:
                raise
        else:
            return
        if before == "" and not self._is_there(path):  # but somebody's upload that never ended
            self._put(local, path, callback, None)
        else:
            raise ConflictError(path)

    def _is_there(self, path: Address) -> bool:
        try:
            self.facts(path)
        except FileNotFoundError:
            return False
        return True

    def _call(
        self, path: Address, ask: Callable[[Any], Coroutine[Any, Any, Any]], suffix: str = ""
    ) -> Any:
        """Return what a call of the client of a blob gives, or of one with a longer name."""
        from fsspec.asyn import sync

        container, key, _ = self.files.split_path(path.url)

        async def call() -> Any:
            async with self.files.service_client.get_blob_client(container, key + suffix) as client:
                return await ask(client)

        return sync(self.files.loop, call)


def _unchanged(version: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": f'"{version}"', "match_condition": MatchConditions.IfNotModified}
