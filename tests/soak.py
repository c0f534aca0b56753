"""The fault tests for longer: `python -m tests.soak`; ends with one line of what was lost or wrong.

Options name the campaigns that run, each with its number of faults; without any, all of them run.
"""

import argparse
import errno
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, count, islice, product
from pathlib import Path

from tqdm import tqdm

from tests.features.faults import disks, flips, kills, mutilation, ray_kills, reuse, stub
from tests.hostile import campaign, endings

ROUND = 1000  # images of which a share is mutilated at a time

Campaign = Callable[[Path, int], Iterator[int]]  # yields the rows lost by each fault


def killed(folder: Path, wanted: int) -> Iterator[int]:
    source = stub.images(folder / "images.npz", 60)
    return chain.from_iterable(kills.kills(source, folder / str(n), 100, n) for n in count())


def interrupted(folder: Path, wanted: int) -> Iterator[int]:
    source = stub.images(folder / "images.npz", 60)
    return kills.kills(source, folder / "runs", wanted, by=signal.SIGINT)


def power_cuts(folder: Path, wanted: int) -> Iterator[int]:
    """Two thirds in new runs, one third in runs that replace a file."""
    source = stub.images(folder / "images.npz", 20)
    new = disks.power_cuts(source, _made(folder / "new"), rounds=wanted)
    replacing = disks.power_cuts_replacing(source, _made(folder / "replacing"), rounds=wanted)
    while True:
        yield next(new)
        yield next(new)
        yield next(replacing)


def failed(folder: Path, wanted: int) -> Iterator[int]:
    source = stub.images(folder / "images.npz", 28)
    for numbers in ((errno.ENOSPC, errno.EIO), (errno.EIO, errno.ENOSPC)):
        yield from disks.failures(source, _made(folder / str(numbers[0])), numbers)


def mutilated(folder: Path, wanted: int) -> Iterator[int]:
    for n in count():
        yield from mutilation.mutilated(folder / str(n), ROUND, seed=n)


def flipped(folder: Path, wanted: int) -> Iterator[int]:
    for make, read in ((flips.feature_file, flips.read_file), (flips.shard, flips.read_shard)):
        yield from flips.flips(make, read, _made(folder / make.__name__), max(1, wanted // 2))


def changed_sources(folder: Path, wanted: int) -> Iterator[int]:
    return reuse.changed_sources(folder)


def changed_shards(folder: Path, wanted: int) -> Iterator[int]:
    return reuse.changed_shards(folder)


def changed_cache(folder: Path, wanted: int) -> Iterator[int]:
    return reuse.changed_cache(folder)


def hostile(folder: Path, wanted: int) -> Iterator[int]:
    """Print each fault as it comes, and in the end how many files of each kind ended how."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    try:
        for result in campaign.hostile(folder, wanted):
            counted[result.target][result.outcome.kind] += 1
            if result.outcome.is_fault:
                tqdm.write(str(result))
            yield int(result.outcome.is_fault)
    finally:
        for target, kinds in counted.items():
            print(f"{target}: {', '.join(f'{number:,} {kind}' for kind, number in kinds.items())}")


def ended(folder: Path, wanted: int) -> Iterator[int]:
    """Commands in turn by each signal, ten times; what was wrong is printed."""
    for number in count():
        for name, by in product(endings.COMMANDS, endings.CODES):
            for wrong in endings.endings(name, folder / f"{name} {by} {number}", 10, by, number):
                if wrong:
                    tqdm.write(f"{name}, {signal.Signals(by).name}: {wrong}")
                yield int(bool(wrong))


def ray_workers_killed(folder: Path, wanted: int) -> Iterator[int]:
    with ray_kills.cluster() as machines:
        yield from ray_kills.worker_kills(folder, machines)


def ray_drivers_killed(folder: Path, wanted: int) -> Iterator[int]:
    with ray_kills.cluster() as machines:
        yield from ray_kills.driver_kills(folder, machines)


CAMPAIGNS: dict[str, tuple[Campaign, int, str]] = {
    "kills": (killed, 1000, "kill -9 at a random moment"),
    "interrupts": (interrupted, 300, "Ctrl-C at a random moment"),
    "power-cuts": (power_cuts, 2000, "the power goes between two operations of the disk"),
    "failures": (failed, 1000, "an operation of the disk fails; at most all of them twice"),
    "mutilated": (mutilated, 20_000, "images spoiled in every way"),
    "changed-sources": (changed_sources, 1000, "a source changes, and the command is repeated"),
    "changed-shards": (changed_shards, 500, "a bit of a shard flips between two runs"),
    "changed-cache": (changed_cache, 10_000, "a file of the cache is damaged or gone"),
    "flips": (flipped, 10_000, "bits flipped in a feature file and in a shard; at most each bit"),
    "endings": (ended, 210, "signals at a random moment to other commands than extract"),
    "ray-workers": (
        ray_workers_killed,
        200,
        "kill -9 of workers of a Ray cluster, and their nodes",
    ),
    "ray-drivers": (ray_drivers_killed, 50, "kill -9 of a Ray cluster's driver"),
    "hostile": (hostile, 50_000, "hostile files of every kind, read by the commands within limits"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, (_, number, help_) in CAMPAIGNS.items():
        parser.add_argument(f"--{name}", type=int, nargs="?", const=number, metavar="N", help=help_)
    options = vars(parser.parse_args())
    named = {name: n for name in CAMPAIGNS if (n := options[name.replace("-", "_")]) is not None}
    injected, lost = {}, 0
    for name, wanted in (named or {name: n for name, (_, n, _) in CAMPAIGNS.items()}).items():
        with tempfile.TemporaryDirectory() as folder:
            faults = islice(CAMPAIGNS[name][0](Path(folder), wanted), wanted)
            results = list(tqdm(faults, name, wanted, unit="fault", mininterval=1))
        injected[name], lost = len(results), lost + sum(results)
    listed = ", ".join(f"{number:,} {name}" for name, number in injected.items())
    print(f"{sum(injected.values()):,} faults injected ({listed}): {lost} rows lost or wrong")
    return int(lost > 0)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
