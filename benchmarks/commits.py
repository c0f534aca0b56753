"""Whole extractions by the code of earlier commits and by the code here, side by side.

    python -m benchmarks.commits 85b327f            512 images, 7 rounds, MobileNetV2
    python -m benchmarks.commits 08cdfd0 85b327f --backbone resnet50 --images 256

Each commit has a process of its own, in a git worktree that is removed in the end; they extract
the same images in turn, after a first round that does not count. Weights are random, which costs
the same. The ratio is the median over rounds of the seconds by the code here to those by a
commit: above 1 the code here is slower. Seconds of all CPUs are disturbed less by other work on
the machine than those of the clock.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.images import as_arrays, make_jpegs
from pipeline.reports.tables import render

HERE = Path(__file__).parent.parent
HEADER = ("source", "commit", "clock", "CPU", "clock: ratio", "CPU: ratio")
PHOTO, ARRAY = (500, 375), (224, 224)  # width and height in pixels
_CHILD = """
import json, sys, time, features
for line in sys.stdin:
    source, out, backbone = json.loads(line)
    begun, cpu = time.perf_counter(), time.process_time()
    features.extract(source, out, backbone=backbone, weights="none", restart=True, progress=False)
    print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu]), flush=True)
"""

Seconds = list[tuple[float, float]]  # by the clock and of all CPUs, in each round


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="commits-") as scratch, ExitStack() as stack:
        sources = _sources(Path(scratch), arguments.images)
        children = {
            commit: stack.enter_context(_child(tree))
            for commit, tree in _trees(arguments.commits, Path(scratch), stack).items()
        }
        rows = [
            row
            for source in sources
            for row in _rows(source, _measured(children, source, arguments))
        ]
    facts = machine.facts("numpy", "openvino", "h5py", "pillow", "simplejpeg") | {
        "backbone": f"{arguments.backbone}, {arguments.images} images, {arguments.rounds} rounds"
    }
    print(render(HEADER, rows))
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))


def _sources(scratch: Path, images: int) -> list[Path]:
    """Return a folder of JPEGs, and one of smaller ones as arrays in an `.npz` and in HDF5."""
    photos = make_jpegs(scratch / "JPEG 500 x 375", images, PHOTO)
    return [photos, *as_arrays(make_jpegs(scratch / "small", images, ARRAY), scratch)]


def _trees(commits: list[str], scratch: Path, stack: ExitStack) -> dict[str, Path]:
    """Return a folder with the code of each commit, and last the one with the code here."""
    trees = {}
    for commit in commits:
        tree = scratch / f"commit-{commit}"
        _git("worktree", "add", "--detach", str(tree), commit)
        stack.callback(_git, "worktree", "remove", "--force", str(tree))
        trees[commit] = tree
    return trees | {"here": HERE}


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(HERE), *arguments], check=True, capture_output=True)


@contextmanager
def _child(tree: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", _CHILD]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tree, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as child:
        yield child
        child.communicate()


def _measured(
    children: dict[str, "subprocess.Popen[str]"], source: Path, arguments: argparse.Namespace
) -> dict[str, Seconds]:
    times: dict[str, Seconds] = {commit: [] for commit in children}
    for number in range(arguments.rounds + 1):
        for commit in list(children)[:: -1 if number % 2 else 1]:
            out = source.parent / f"{commit}.{source.name}.features.h5"
            taken = _extract(children[commit], [str(source), str(out), arguments.backbone])
            if number:
                times[commit].append(taken)
    return times


def _extract(child: "subprocess.Popen[str]", job: list[str]) -> tuple[float, float]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps(job) + "\n")
    child.stdin.flush()
    clock, cpu = json.loads(child.stdout.readline())
    return clock, cpu


def _rows(source: Path, times: dict[str, Seconds]) -> Iterator[tuple[str, ...]]:
    for commit, taken in times.items():
        medians = [statistics.median(each[kind] for each in taken) for kind in (0, 1)]
        ratios = [
            statistics.median(
                ours[kind] / theirs[kind] for ours, theirs in zip(times["here"], taken, strict=True)
            )
            for kind in (0, 1)
        ]
        yield (
            source.name, commit, *(f"{seconds:.3f} s" for seconds in medians),
            *(f"{ratio:.3f}" for ratio in ratios),
        )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commits", nargs="+", metavar="COMMIT")
    parser.add_argument("--backbone", default="mobilenetv2", metavar="NAME")
    parser.add_argument("--images", type=int, default=512, metavar="N")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
