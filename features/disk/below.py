"""Names in files of anybody's, as paths that stay in a folder."""

from pathlib import Path


def below(folder: Path, name: str) -> Path | None:
    """Return the path, links resolved, that a name leads to; None where that is not in a folder."""
    try:
        path = (folder / name).resolve()
    except (ValueError, OSError, RuntimeError):  # a null character, or links in a loop
        return None
    return path if path.is_relative_to(folder.resolve()) else None
