"""Requests that fail for a moment are repeated, a bounded number of times, and counted."""

import errno
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from features.errors import DataError

log = logging.getLogger("offshelf")
T = TypeVar("T")

NO_BUCKET = "no such bucket"
TRIES = 6
PAUSE = 0.25  # seconds before the second try, twice as many before each further one: 8 in all

_NOT_THERE = (404, 410)
_CHANGED = 412
_CUT = ("ClientPayloadError", "IncompleteRead")
_CONNECTING = ("Connect", "HTTPClient", "ServiceRequest", "ServiceResponse", "Transport")
_DENIED = (401, 403, 407, 451)
_BUSY = {408: "no answer in time", 429: "too many requests", 503: "slow down"}
_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "TokenRetrievalError", "UnauthorizedSSOTokenError", "DefaultCredentialsError",
    "CredentialUnavailableError",
}  # fmt: skip
_WRONG_CREDENTIALS = {"ClientAuthenticationError", "RefreshError", "MalformedError"}
_NO_BUCKETS = ("NoSuchBucket", "ContainerNotFound")
_WRONG_NAMES = {
    "ParamValidationError",
    "InvalidURL",
    "UnsupportedProtocol",
    "NonHttpUrlClientError",
}
_LASTING = {
    getattr(errno, name, errno.EINVAL)
    for name in ("EINVAL", "EPERM", "ENOSYS", "ENAMETOOLONG", "EREMCHG", "EISDIR")
}
_REASONS = {
    errno.EBUSY: "slow down", errno.EIO: "error of the server",
    getattr(errno, "EREMOTEIO", errno.EIO): "error of the server",
}  # fmt: skip


class RemoteError(DataError):
    """A store does not give what it should, after all tries.

    Attributes:
        reason: why, in words that do not name the object.
    """

    def __init__(self, address: object, reason: str) -> None:
        super().__init__(f"{address} {reason}")
        self.address, self.reason = str(address), reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # another process may have raised it
        return type(self), (self.address, self.reason)


class DeniedError(RemoteError):
    """A store or server does not let us in."""


class ConflictError(RemoteError):
    """Somebody else has changed an object since it was read, so that it is not overwritten."""

    def __init__(self, address: object, reason: str = "") -> None:
        super().__init__(
            address,
            reason
            or "was changed by somebody meanwhile and is not overwritten; give the command "
            "again, which begins with what is there now",
        )


class ChangedError(Exception):
    """An object is not the one that it was when its facts were read."""


class WrongLengthError(Exception):
    """An answer has more or fewer bytes than were asked for."""


class StatusError(Exception):
    """An answer has a status that is no success.

    Attributes:
        status: the status of HTTP.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Repeats:
    """The numbers of requests that were repeated, by reason; shared by all threads.

    Attributes:
        are_told: whether somebody will say how many they were.
    """

    def __init__(self) -> None:
        self.are_told = False
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, reason: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[reason] += 1

    def copy(self) -> Counter[str]:
        """Return what there is now."""
        with self._lock:
            return Counter(self._counts)


repeats = Repeats()


@contextmanager
def telling_repeats() -> Iterator[None]:
    """Say at the end how many requests were repeated in the outermost context, and why."""
    if repeats.are_told:
        yield
        return
    before, repeats.are_told = repeats.copy(), True
    try:
        yield
    finally:
        repeats.are_told = False
        if since := repeats.copy() - before:
            reasons = ", ".join(f"{count:,} x {reason}" for reason, count in since.most_common())
            log.warning("%s requests were repeated: %s", f"{since.total():,}", reasons)


def attempt(address: object, call: Callable[[], T]) -> T:
    """Return what a call gives; it is repeated where its failure may be of a moment.

    Args:
        address: what is asked for, as it may be shown.
        call: makes the request.

    Raises:
        FileNotFoundError: there is no such object.
        DeniedError: access is denied, or there are no credentials.
        RemoteError: the object has changed, or all tries have failed.
    """
    for number in range(1, TRIES + 1):
        try:
            return call()
        except Exception as error:
            if (lasting := _lasting(address, error)) is not None:
                raise lasting from None
            reason = _reason(error)
        if number < TRIES:
            repeats.add(reason)
            time.sleep(PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.0))  # noqa: S311
    raise RemoteError(address, f"could not be reached: {reason}, {TRIES} times in a row")


def _lasting(address: object, error: Exception) -> Exception | None:
    """Return the error to raise where a further try would not help, else None."""
    kind, status = type(error).__name__, _status_of(error)
    if isinstance(error, DataError):
        return error
    if code_of(error) == "PreconditionFailed":
        return ConflictError(address)
    if isinstance(error, ChangedError) or kind == "FileExpired" or status == _CHANGED:
        return RemoteError(address, "was changed by somebody while it was read; begin again")
    if isinstance(error, FileNotFoundError) or status in _NOT_THERE:
        is_bucket = code_of(error) in _NO_BUCKETS
        return FileNotFoundError(errno.ENOENT, NO_BUCKET if is_bucket else "not there")
    if kind in _CREDENTIALS:
        return DeniedError(
            address,
            "needs credentials, and none were found; set them as the store's own tools take them "
            "(for s3:// AWS_PROFILE, AWS_ACCESS_KEY_ID or a role; FSSPEC_S3_ANON=true reads a "
            "public bucket; for gs:// GOOGLE_APPLICATION_CREDENTIALS; for az:// `az login`)",
        )
    is_denied = isinstance(error, PermissionError) or kind in _WRONG_CREDENTIALS
    if is_denied or status in _DENIED:
        return DeniedError(
            address, "cannot be had: access is denied; check the credentials, and what they may do"
        )
    if isinstance(error, OSError) and error.errno in _LASTING:
        what = code_of(error) or os.strerror(error.errno or 0)
        return RemoteError(address, f"cannot be had: {what}")
    if kind in _WRONG_NAMES or (status is not None and 400 <= status < 500 and status not in _BUSY):
        what = f"status {status}" if status is not None else "no name that the store can have"
        return RemoteError(address, f"cannot be had: {what}")
    return None


def code_of(error: Exception) -> str:
    """Return the code that S3 or Azure gives an error, "" where there is none."""
    cause = error.__cause__ or error
    if azure := getattr(cause, "error_code", None):
        return str(getattr(azure, "value", azure))
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def _status_of(error: Exception) -> int | None:
    """Return the status of HTTP that an error has; Azure's client names it otherwise."""
    status: int | None = getattr(error, "status", None) or getattr(error, "status_code", None)
    return _CHANGED if code_of(error) == str(_CHANGED) else status


def _reason(error: Exception) -> str:
    """Return why a request failed, in words that hold nothing of the request."""
    kind, status = type(error).__name__, _status_of(error)
    if "Checksum" in kind:
        return "wrong content"
    if isinstance(error, WrongLengthError) or kind.startswith(_CUT):
        return "wrong length"
    if status is not None:
        return _BUSY.get(status, f"status {status}")
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno in _REASONS:
        return _REASONS[error.errno]
    if isinstance(error, ConnectionError) or any(w in kind for w in _CONNECTING):
        return "no connection"
    return kind
