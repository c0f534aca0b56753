"""Paths as files keep them: without the name of the user where that is possible."""

import os
from pathlib import Path, PurePath

from features.arguments import as_location
from features.remote import places
from features.remote.location import as_remote

_HOME = "~"


def without_home(path: object) -> str:
    """Return an absolute path below the user's folder as `~/...`, anything else as it is.

    In the copy of a folder of a store it is the place in the store.

    Whatever takes a path here takes `~/...`, too.
    """
    text, home = str(path), home_folder()
    if (address := places.address_of(PurePath(text))) is not None:
        return str(address)
    if home is not None and as_remote(text) is None and PurePath(text).is_relative_to(home):
        return (PurePath(_HOME) / PurePath(text).relative_to(home)).as_posix()
    return text


def home_folder() -> PurePath | None:
    """Return the user's folder; None where none is known, or where it holds everything."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if len(home.parts) > 1 else None


def kept(path: str, folder: Path) -> str:
    """Return a path for a file below `folder`: relative to it, else below the user's folder.

    In the copy of a folder of a store nothing is relative: others have it elsewhere.

    Args:
        path: what is kept; a URL, and what is no absolute path, stays as it is.
        folder: the folder that the path is relative to.
    """
    if as_remote(path) is not None or not PurePath(path).is_absolute():
        return path
    if places.address_of(folder) is not None:
        return without_home(Path(path))
    base, home = str(folder.resolve()), home_folder()
    try:
        shared = PurePath(os.path.commonpath([path, base]))
    except ValueError:  # on another drive
        return without_home(path)
    leads_out = home is not None and home != shared and home.is_relative_to(shared)
    if len(shared.parts) < 2 or leads_out:  # through folders that all users share
        return without_home(path)
    relative = PurePath(os.path.relpath(path, base)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def found(text: str, folder: Path) -> str:
    """Return where a path lies that `kept` made; anything else is returned as it is."""
    if text.startswith(("./", "../")):
        if (address := places.address_of(folder)) is not None:
            return str(address.joined(text))
        return os.path.normpath(folder.resolve() / text)
    return str(as_location(text, "path")) if PurePath(text).parts[:1] == (_HOME,) else text


def names_only(text: str) -> str:
    """Return the last name of an absolute path or one below `~`, anything else as it is."""
    if as_remote(text) is None and (PurePath(text).is_absolute() or text.startswith(f"{_HOME}/")):
        return PurePath(text).name or text
    return text
