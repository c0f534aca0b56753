"""The errors that users meet, each with a message of one line."""


class OffshelfError(Exception):
    """The base of all errors; the message says what came, what was expected and what to do."""

    exit_code = 1


class UsageError(OffshelfError, ValueError):
    """An argument is wrong: an unknown name, a value out of range, a path that does not exist."""

    exit_code = 2


class DataError(OffshelfError, ValueError):
    """The arguments are fine, but the content of a file or folder is not."""

    exit_code = 1


class MissingPackageError(OffshelfError, ImportError):
    """An optional package is needed and not installed; the message has the install command."""

    exit_code = 1


def unknown_name(kind: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name that is not among the known ones; it suggests the nearest."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"no {kind} is called {name!r}; {hint}")
