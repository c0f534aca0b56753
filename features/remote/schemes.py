"""The kinds of URLs that are taken, and how a URL is shown: without anything that is secret."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from features.errors import UsageError


class Scheme(NamedTuple):
    """A kind of URL.

    Attributes:
        protocol: what fsspec calls it.
        install: what pip installs for it.
        module: the module that must be there.
        is_store: whether it is a store, which lists what it holds, and which is written to.
    """

    protocol: str
    install: str
    module: str
    is_store: bool = True


_EXTRA = '"offshelf[remote]"'

SCHEMES = {
    "s3": Scheme("s3", _EXTRA, "s3fs"),
    "gs": Scheme("gs", f"{_EXTRA} gcsfs", "gcsfs"),
    "az": Scheme("az", f"{_EXTRA} adlfs", "adlfs"),
    "hf": Scheme("hf", f"{_EXTRA} huggingface_hub", "huggingface_hub"),
    "https": Scheme("https", _EXTRA, "aiohttp", is_store=False),
    "http": Scheme("http", _EXTRA, "aiohttp", is_store=False),
}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_COLLAPSED = re.compile(r"([a-z][a-z0-9]+):/(?!/)")  # as `Path` leaves a URL
_SECRET = re.compile(
    r"sig|token|secret|pass|pwd|key|credential|auth|policy|expires|x-(amz|goog)-|^s(v|s|rt|p|e|t|pr|r|ip|dd)$",
    re.IGNORECASE,
)
_LONGEST_PLAIN = 24  # characters of a value in a query; longer ones may be secret


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URL in lower case, None where a text is none."""
    match = _URL.match(text)
    return match[1].lower() if match else None


def restored(text: str) -> str:
    """Return a URL whose slashes `Path` has made one; any other text as it is."""
    match = _COLLAPSED.match(text)
    return f"{match[1]}://{text[match.end() :]}" if match and match[1] in SCHEMES else text


def check_scheme(url: str) -> str:
    """Return the scheme of a URL; UsageError where it is none of those that are taken."""
    scheme = scheme_of(url)
    if scheme in SCHEMES:
        return scheme
    if scheme == "file":
        raise UsageError(f"{shown(url)}: give the plain path, without file://")
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise UsageError(f"{shown(url)}: {scheme}:// is not taken; expected {known} or a plain path")


def shown(url: str) -> str:
    """Return a URL as it may be shown and written: without user, password and a signed query.

    A query stays if none of its names and values looks like a secret: it may be what tells one
    image from another.
    """
    if scheme_of(url) not in ("http", "https"):
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme.lower()}://{host.rpartition('@')[2]}{slash}{path}"
    parts = urlsplit(url)
    query = "" if _is_secret(parts.query) else parts.query
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _is_secret(query: str) -> bool:
    pairs = parse_qsl(query, keep_blank_values=True)
    return any(_SECRET.search(name) or len(value) > _LONGEST_PLAIN for name, value in pairs)
