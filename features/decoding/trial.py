"""Images decoded for trial by a process that may be lost, to find those that end it."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.decoding import RejectedImage, decode, fit
from features.processes.limits import no_core_dump
from features.processes.python import command_of

Content = bytes | np.ndarray  # of an image, as a source gives it

KILLED = "SIGKILL"
_START = "from features.decoding.trial import serve; serve()"
_BEGUN, _DONE = b"begun ", b"done"


@dataclass(frozen=True)
class Look:
    """How images are decoded: arguments of `decoding.decode` and `decoding.fit`."""

    size: tuple[int, int]
    resize: str
    interpolation: str
    exact: bool = True
    accept_damaged: bool = False


def ended_by(contents: Sequence[Content], look: Look) -> Iterator[tuple[int, str]]:
    """Yield the number of each image that ends a process which decodes it, and how it ends.

    It is told as the name of a signal, or as "status" and a number. Images are tried together,
    and halved as long as they end the process. A single one that is killed, as the system does
    when memory is short, is tried once more: only one that is killed again is yielded.
    """

    def halved(numbers: range) -> Iterator[tuple[int, str]]:
        how = _end([contents[number] for number in numbers], look) if numbers else None
        if how is None:
            return
        if len(numbers) > 1:
            middle = len(numbers) // 2
            yield from halved(numbers[:middle])
            yield from halved(numbers[middle:])
        elif how != KILLED or _end([contents[numbers[0]]], look) == KILLED:
            yield numbers[0], how

    return halved(range(len(contents)))


def _end(contents: Sequence[Content], look: Look) -> str | None:
    """Return how a process ends that decodes images, None where it does not before it is done."""
    ended = subprocess.run(  # noqa: S603
        command_of(_START), input=pickle.dumps((contents, look)), check=False,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
    )  # fmt: skip
    if ended.stdout != _BEGUN:
        return None
    status = ended.returncode
    return signal.Signals(-status).name if status < 0 else f"status {status:#x}"


def serve() -> None:
    """Decode the images that standard input brings."""
    no_core_dump()
    contents, look = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent writes it
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries print
    os.write(answers, _BEGUN)
    at_least = None if look.exact else 2 * max(look.size)
    for content in contents:
        try:
            fit(
                decode(content, at_least, look.accept_damaged), look.size, look.resize,
                look.interpolation,
            )  # fmt: skip
        except (RejectedImage, MemoryError):
            continue
    os.write(answers, _DONE)
    os._exit(0)
