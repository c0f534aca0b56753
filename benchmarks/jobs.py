"""One measurement in a process of its own, so that memory, threads and Keras' backends of one
competitor do not disturb the next.

The parent calls `measure(job)`; the child is `python -m benchmarks.jobs '<job as JSON>'` and
prints its figures as JSON on its last line.
"""

import dataclasses
import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import OffshelfError


@dataclass(frozen=True)
class Job:
    """What one child process measures.

    Attributes:
        function: "module.function" within this package, called with the job.
        backbone: a name from the catalog.
        weights: "imagenet" or "none".
        folder: the JPEG files, in class folders.
        scratch: folder for outputs.
        images: how many images from disk to output.
        engine: of ours.
        precision: of the network.
        rounds: of what measures several things in turn.
    """

    function: str
    folder: Path
    scratch: Path
    images: int
    backbone: str = ""
    weights: str = "none"
    engine: str = ""
    precision: str = "float32"
    batch: int = 32
    size: int = 224
    rounds: int = 1

    @property
    def full_batches(self) -> int:
        """Number of images in whole batches, at least one batch."""
        return max(1, self.images // self.batch) * self.batch


class SkippedError(OffshelfError):
    """This competitor cannot run here; the message says why."""


def measure(job: Job) -> dict[str, Any]:
    """Run a job in a fresh process; return its figures, or {"skipped": reason}."""
    text = json.dumps(dataclasses.asdict(job), default=str)
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs", text],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if child.returncode:
        said = child.stderr.strip().splitlines() or [f"ended with status {child.returncode}"]
        return {"skipped": said[-1]}
    return json.loads(child.stdout.splitlines()[-1])


def main(text: str) -> None:
    values = json.loads(text)
    values |= {key: Path(values[key]) for key in ("folder", "scratch")}
    job = Job(**values)
    module, function = job.function.split(".")
    try:
        figures = getattr(importlib.import_module(f"benchmarks.{module}"), function)(job)
    except OffshelfError as error:
        figures = {"skipped": str(error)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
