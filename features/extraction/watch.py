"""Images that end the process which decodes them: noticed, found, and listed as rejected.

While images are decoded, a note in the working folder names those that threads are at. It goes when
decoding ends, by an error too, so that a note which lies there was left by a process that crashed
or was killed. The next one tries the images that it names in a process that may be lost. Those
that end it are listed in the working folder by digests of their content, and are rejected undecoded
from then on.
"""

import io
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.decoding.trial import Content, Look, ended_by
from features.disk import durable
from features.sources.base import Source
from features.text import for_terminal

log = logging.getLogger("offshelf")

ENDED = "ended the process that decoded it"  # a reason for a rejection begins so
NOTE, LISTED = ".decoding", ".ended"  # suffixes of files in the working folder
_SLOT = 256  # bytes of a note for each thread


class Watch:
    """What a run knows of images that end processes.

    Attributes:
        look: how images are decoded.
        reasons: why images are rejected undecoded, by the digest of their content.
    """

    def __init__(self, folder: Path, look: Look, note: str = "images") -> None:
        """Keep the settings; nothing is read or written.

        Args:
            folder: the working folder.
            look: how images are decoded.
            note: the name of this process's note; each process in a folder has another one.
        """
        self.look, self.reasons = look, dict[bytes, str]()
        self._folder, self._note = folder, folder / (note + NOTE)
        self._file: io.FileIO | None = None
        self._lock, self._slots = threading.Lock(), dict[int, int]()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep the note while images are decoded, where it can be written."""
        with suppress(OSError):
            self._file = self._note.open("wb", buffering=0)
        try:
            yield
        finally:
            with self._lock:
                file, self._file = self._file, None
                self._slots.clear()
            if file is not None:
                file.close()
                with suppress(OSError):
                    self._note.unlink()

    @contextmanager
    def decoding(self, image: str) -> Iterator[None]:
        """Have the note name an image while this thread decodes it."""
        self._put(_cut(image))
        try:
            yield
        finally:
            self._put(b"")

    def _put(self, name: bytes) -> None:
        with self._lock, suppress(OSError):
            if self._file is not None:
                slot = self._slots.setdefault(threading.get_ident(), len(self._slots))
                self._file.seek(slot * _SLOT)
                self._file.write(name.ljust(_SLOT, b"\0"))

    def take_up(self, source: Source) -> None:
        """Read the list, and try the images that the notes of ended processes name.

        No process that writes a note is at work in the folder.

        Raises:
            OSError: the list could not be written.
        """
        self.read_list()
        self.try_named(source, [note.stem for note in self._folder.glob(f"*{NOTE}")])

    def try_named(self, source: Source, notes: Iterable[str]) -> list[str]:
        """Try the images that some notes name, and remove the notes; return as `try_alone`."""
        paths, names = [self._folder / (note + NOTE) for note in notes], set[bytes]()
        for path in paths:
            with suppress(OSError):
                content = path.read_bytes()
                names |= {content[at : at + _SLOT] for at in range(0, len(content), _SLOT)}
        names = {name.rstrip(b"\0") for name in names} - {b""}
        images = (image.index for image in source if _cut(image.id) in names) if names else ()
        found = self.try_alone(source, images)
        for path in paths:
            path.unlink(missing_ok=True)
        return found

    def try_alone(self, source: Source, images: Iterable[int]) -> list[str]:
        """Try images, and list those that end a process; return and log a sentence on each."""
        contents: dict[bytes, tuple[str, Content]] = {}
        for index in images:
            with suppress(OSError):
                content = source.read(index)
                contents[source.digest_of(index, content)] = source[index].id, content
        digests, sentences = [digest for digest in contents if digest not in self.reasons], []
        for number, how in ended_by([contents[digest][1] for digest in digests], self.look):
            digest = digests[number]
            durable.write(self._folder / f"{digest.hex()}.{how}{LISTED}", b"")
            self.reasons[digest] = f"{ENDED} ({how})"
            name = for_terminal(contents[digest][0])
            sentences.append(f"{name} {self.reasons[digest]}, and is rejected")
            log.warning("%s", sentences[-1])
        return sentences

    def read_list(self) -> None:
        """Read the list of what was found before."""
        for path in self._folder.glob(f"*{LISTED}"):
            digest, _, how = path.name.removesuffix(LISTED).partition(".")
            with suppress(ValueError):
                self.reasons[bytes.fromhex(digest)] = f"{ENDED} ({how})"


def _cut(image: str) -> bytes:
    """Return what a note has of an image's id: its end, by which ids differ."""
    return image.encode(errors="surrogateescape")[-_SLOT:]
