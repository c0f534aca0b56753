"""The two kinds of mistake a user can make, each told in one line."""


class OffshelfError(Exception):
    """An error whose message says what came, what was expected and what to do."""

    exit_code = 1


class UsageError(OffshelfError, ValueError):
    """An argument that cannot be meant: an unknown name, a path that is not there."""

    exit_code = 2


class DataError(OffshelfError, ValueError):
    """Arguments are fine, but what a file or folder holds is not."""

    exit_code = 1


class MissingPackageError(OffshelfError, ImportError):
    """An optional package is needed and not installed; the message has the install line."""

    exit_code = 1


def unknown_name(kind: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name outside `known`, suggesting the nearest ones."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"no {kind} is called {name!r}; {hint}")
