"""timm, imported when it is needed, and what it says of a model before any is built."""

import functools
import logging
import socket
import sys
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from features.errors import MissingPackageError, UsageError
from features.text import reason_of

PREFIX = "timm/"  # see `names.is_timm`
_INSTALL = '`pip install "offshelf[timm]"` brings it, with PyTorch'
# Operators of torchvision's compiled part, which timm does not use, but without which torchvision
# cannot be imported. That part is missing where torchvision was built for another PyTorch.
_OPERATORS = ("nms", "qnms")

_kept: list[Any] = []  # what torch forgets when nobody holds it


@functools.cache
def timm_here() -> ModuleType:
    """Return timm.

    Raises:
        MissingPackageError: timm or PyTorch is not installed, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _import_torchvision()
            timm = import_module("timm")
    except Exception as error:  # broken installations raise errors of many types
        reason = reason_of(error)
        raise MissingPackageError(f"timm cannot be used ({reason}); {_INSTALL}") from None
    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm


def _import_torchvision() -> None:
    torch = import_module("torch")  # first, so that it is named where it is missing
    try:
        import_module("torchvision")
        return
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in _OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    import_module("torchvision")


def record_of(backbone: str) -> tuple[str, dict[str, Any]]:
    """Return the full name of a model and what timm says of it, its `pretrained_cfg`.

    Args:
        backbone: "timm/" and the name of a model, with or without the tag of its weights.

    Raises:
        UsageError: timm has no such model; the message suggests the nearest names.
        MissingPackageError: as `timm_here`.
    """
    timm, name = timm_here(), backbone[len(PREFIX) :]
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise _unknown(timm, name)
    try:
        record = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        raise _unknown(timm, name) from None
    facts: dict[str, Any] = record.to_dict()
    tag = facts.get("tag") or tag
    return f"{architecture}.{tag}" if tag else architecture, facts


@contextmanager
def hub_or_its_cache() -> Iterator[None]:
    """Let the hub's client look into its cache alone where the hub's name is not even known.

    Else it would ask again and again for most of a minute, and say so each time.
    """
    constants: Any = import_module("huggingface_hub.constants")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    before = constants.HF_HUB_OFFLINE
    try:
        if not urllib.request.getproxies():
            socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, None)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _unknown(timm: ModuleType, name: str) -> UsageError:
    from difflib import get_close_matches

    architecture = name.partition(".")[0]
    near = timm.list_pretrained(f"{architecture}.*") or get_close_matches(
        architecture, timm.list_models(), cutoff=0.5
    )
    hint = f"did you mean {', '.join(near[:5])}?" if near else "timm.list_models() lists all"
    return UsageError(f"timm has no model {name!r:.100}; {hint}")
