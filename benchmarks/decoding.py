"""Where the time goes between a JPEG file and the pixels that a network is given.

    python -m benchmarks.decoding                    three sizes, about three minutes

CPU time of one thread for one image, in ms: medians over images and rounds. In each round every way
takes all images, one after the other, as an extraction does.

    script           Image.open, convert("RGB"), resize with antialiasing, as people write it
    script, draft    the same with `draft`, which lets libjpeg leave out what the size does not need
    ours, Pillow     read, digest, decode with damage heard, resize by Pillow
    ours             the same, resized by Numba where it is installed; equal to the bit
    of which         read and digest; decode, of which unpacking the coefficients alone (decoding at
                     1/8, which does little else); resize by either
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks import machine
from benchmarks.images import jpegs, make_jpegs
from features.decoding import Fit, decode, fit, fit_for
from features.records import blake2b
from pipeline.reports.tables import render

SIZES = {(500, 375): 100, (1600, 1200): 24, (4000, 3000): 6}  # and how many images
NETWORK = (224, 224)
HEADER = ("size", "what", "ms", "images/s a core", "to the script")
SCRIPT = "script"
LARGEST = 8  # by which libjpeg divides the sides


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory(prefix="decoding-") as scratch:
        for size, count in SIZES.items():
            folder = make_jpegs(Path(scratch) / str(size[0]), count, size)
            seconds = measured(jpegs(folder), arguments.interpolation, arguments.rounds)
            rows += [_row(size, what, seconds) for what in seconds]
    print(render(HEADER, rows))
    facts = machine.facts("numpy", "pillow", "simplejpeg")
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    print(f"interpolation: {arguments.interpolation}")


def measured(files: list[Path], interpolation: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every way for every image and round, in the same order."""
    ways = _ways(interpolation, fit_for(10**6))
    seconds: dict[str, list[float]] = {what: [] for what in ways}
    contents = [file.read_bytes() for file in files]
    images = [decode(content, 2 * max(NETWORK)) for content in contents]
    for turn in range(rounds + 1):
        for what, way in ways.items():
            for given in zip(files, contents, images, strict=True):
                begun = time.thread_time()
                way(*given)
                if turn:  # what is compiled or looked up for the first time does not count
                    seconds[what].append(time.thread_time() - begun)
    return seconds


def _ways(
    interpolation: str, fastest: Fit
) -> dict[str, Callable[[Path, bytes, Image.Image], object]]:
    """Return what is done with a file, its content, and the image that was decoded of it."""
    row = np.zeros((*NETWORK, 3), np.uint8)

    def script(file: Path, drafted: bool) -> None:
        image: Image.Image = Image.open(file)
        if drafted:
            image.draft("RGB", NETWORK)
        kind = Image.Resampling[interpolation.upper()]
        row[:] = np.asarray(image.convert("RGB").resize(NETWORK, kind))

    def ours(file: Path, fitting: Fit) -> None:
        content = file.read_bytes()
        blake2b(content)
        row[:] = fitting(decode(content, 2 * max(NETWORK)), NETWORK, "stretch", interpolation)

    return {
        SCRIPT: lambda file, *_: script(file, False),
        "script, draft": lambda file, *_: script(file, True),
        "ours, Pillow": lambda file, *_: ours(file, fit),
        "ours": lambda file, *_: ours(file, fastest),
        "- read, digest": lambda file, *_: blake2b(file.read_bytes()),
        "- decode": lambda _, content, __: decode(content, 2 * max(NETWORK)),
        "- - coefficients": lambda _, content, image: decode(content, min(image.size) // LARGEST),
        "- resize, Pillow": lambda _, __, image: fit(image, NETWORK, "stretch", interpolation),
        "- resize": lambda _, __, image: fastest(image, NETWORK, "stretch", interpolation),
    }


def _row(
    size: tuple[int, int], what: str, seconds: dict[str, list[float]]
) -> tuple[str, str, str, str, str]:
    pairs = zip(seconds[SCRIPT], seconds[what], strict=True)
    ratio = median(script / own for script, own in pairs)
    typical = median(seconds[what])
    is_whole = not what.startswith("-")
    return (
        f"{size[0]} x {size[1]}", what, f"{1000 * typical:.2f}",
        f"{1 / typical:.0f}" if is_whole else "", f"{ratio:.2f}" if is_whole else "",
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.decoding", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interpolation", choices=("bilinear", "bicubic"), default="bilinear")
    return parser.parse_args()


if __name__ == "__main__":
    main()
