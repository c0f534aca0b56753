"""Extraction by the workers of a Ray cluster: each is an actor that holds the compiled network.

A worker reads, decodes and computes as a local run does, and writes its shards itself to the folder
that the driver made. The driver plans, hands out ranges of shards, watches and assembles. A worker
is given the next ranges when it is done with the last, so that memory stays what one run needs.
Batches are those of a local run, whatever the number of workers, and so are the rows.
"""

import logging
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.config import ExtractConfig
from features.errors import DataError, OffshelfError, UsageError
from features.extraction import ray_cluster
from features.extraction.planning import Plan
from features.extraction.ray_worker import Done, Worker
from features.extraction.shards import Shards
from features.extraction.stream import Range
from features.remote.location import is_remote

log = logging.getLogger("offshelf")

_START = -1  # in place of a shard, for a worker that has not begun
_PAUSE, _PATIENCE = 1.0, 30.0  # seconds: to look again, and until one line says what is waited for
_MOST_DEATHS = 5  # of workers at the same shard
_END = 30.0  # seconds that threads have to end


def compute_shards(
    plan: Plan, shards: Shards, advance: Callable[[int], object] = lambda images: None
) -> None:
    """Have all missing shards computed by the workers of a cluster.

    Args:
        plan: the plan of the extraction.
        shards: the shards, of which the missing ones are made.
        advance: is called with the number of images of each shard that is done.

    Raises:
        MissingPackageError: Ray is not installed.
        UsageError: the cluster cannot have such workers.
        DataError: there is no cluster at the address, a worker failed, ended five times at the
            same images, or writes to another place than this machine sees.
    """
    missing = shards.missing()
    if not missing:
        return
    with ray_cluster.connected(plan.config, len(plan.source)) as ray:
        crew = _Crew(ray, plan, shards, _workers(ray, plan.config, len(missing)))
        with closing(crew.results(missing)) as results:
            for start, stop, size, notes in results:
                shards.take_over(start, size, notes)
                advance(stop - start)


@dataclass(frozen=True)
class _Workers:
    """How many workers there are, and what each has.

    Attributes:
        count: the number of workers.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """

    count: int
    cpus: int
    gpus: int


def _workers(ray: Any, config: ExtractConfig, shards: int) -> _Workers:
    """Return what workers the cluster can have; a default is one for each node or GPU."""
    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 0)), int(total.get("GPU", 0))
    each = config.gpus_per_worker
    if cpus < 1 or gpus < each:
        raise UsageError(
            f"--gpus-per-worker {each}: the cluster has {gpus} GPUs and {cpus} CPUs free for us"
        )
    nodes = sum(node["Alive"] for node in ray.nodes())
    wanted = config.workers or (gpus if each else nodes)
    count = min(wanted, cpus, gpus // each if each else wanted)
    if config.workers and count < config.workers:
        log.warning("the cluster has room for %d of %d workers", count, config.workers)
    count = min(count, shards)
    most = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    workers = _Workers(count, max(1, min(cpus // count, most)), each)
    log.info(
        "Ray: %d worker%s with %d CPUs and %d GPUs each on %d node%s",
        count, "s" * (count != 1), workers.cpus, each, nodes, "s" * (nodes != 1),
    )  # fmt: skip
    return workers


@dataclass(frozen=True)
class _Work:
    """What a worker is given.

    Attributes:
        ranges: of images; those that are done are taken out.
        notes: the names of the notes of workers that ended at them.
    """

    ranges: list[Range]
    notes: list[str] = field(default_factory=list)


class _Waiting:
    """What is still to be given to workers, in ever smaller parts.

    Loading pauses between two parts, so that the first ones are large. The last are single shards,
    so that no worker waits long for another in the end.
    """

    def __init__(self, workers: int) -> None:
        self._share = 2 * workers if workers > 1 else 1
        self._ranges: list[Range] = []
        self._begun: list[_Work] = []
        self._is_open, self._changed = True, threading.Condition()

    def put(self, ranges: list[Range]) -> None:
        """Add ranges."""
        with self._changed:
            self._ranges = sorted(self._ranges + ranges)
            self._changed.notify_all()

    def put_back(self, work: _Work) -> None:
        """Add what a worker has left, which ended at the first range of it."""
        with self._changed:
            self._begun.append(_Work(work.ranges[:1], work.notes))
        self.put(work.ranges[1:])

    def take(self) -> _Work | None:
        """Wait for something to do, and return it; None when it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._begun or self._ranges or not self._is_open)
            if not self._is_open:
                return None
            if self._begun:
                return self._begun.pop(0)
            count = -(-len(self._ranges) // self._share)
            taken, self._ranges = self._ranges[:count], self._ranges[count:]
            return _Work(taken)

    def close(self) -> None:
        """Let all go on that wait."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()


class _Crew:
    """The workers, each looked after by a thread of the driver."""

    def __init__(self, ray: Any, plan: Plan, shards: Shards, workers: _Workers) -> None:
        self._ray, self._shards, self._workers = ray, shards, workers
        self._config = _absolute(plan.config)
        self._recipe = plan.recipe.to_json()
        self._listed = [ray.put(plan.source)] if plan.source.travels else []
        self._waiting = _Waiting(workers.count)
        self._done: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._deaths: Counter[int] = Counter()  # of workers, by the shard that they were at
        self._stopped, self._is_told = threading.Event(), False
        self._lock = threading.Lock()
        self.actors: dict[int, Any] = {}  # by the number of the worker
        self._notes: dict[int, str] = {}  # of these

    def results(self, missing: list[Range]) -> Generator[Done]:
        """Yield each shard when it is written, in any order; all workers end with the iterator."""
        left = len(missing)
        self._waiting.put(missing)
        threads = [
            threading.Thread(target=self._look_after, args=(number,), name="crew", daemon=True)
            for number in range(self._workers.count)
        ]
        for thread in threads:
            thread.start()
        try:
            while left:
                result = self._done.get()
                if isinstance(result, BaseException):
                    raise result
                left -= 1
                yield result
        finally:
            self._end()
            for thread in threads:  # one that asks Ray after its end connects to any cluster
                thread.join(_END)

    def _end(self) -> None:
        with self._lock:
            self._stopped.set()
            for actor in self.actors.values():
                with suppress(Exception):
                    self._ray.kill(actor)
        self._waiting.close()

    def _look_after(self, number: int) -> None:
        """Give a worker ranges until there are none; start it again where it has died.

        A worker that waits for room in the cluster, as when a node has gone, holds no ranges.
        """
        died = self._ray.exceptions
        try:
            while self._is_there(number) and (work := self._waiting.take()) is not None:
                try:
                    self._give(number, work)
                except (died.RayActorError, died.ObjectLostError):
                    self._mourn(number, work)
        except BaseException as error:
            self._done.put(_as_ours(error))

    def _give(self, number: int, work: _Work) -> None:
        """Have a worker compute ranges; those that are done are taken out of the list."""
        actor, ranges = self.actors[number], work.ranges
        if work.notes:
            found = self._ray.get(actor.find.remote(work.notes))
            work.notes.clear()
            for sentence in found:
                log.warning("%s", sentence)
                self._deaths[ranges[0][0]] = 0
        for reference in actor.compute.options(num_returns="streaming").remote(list(ranges)):
            done = self._ray.get(reference)
            self._check_seen(done[0])
            del ranges[0]
            self._done.put(done)

    def _is_there(self, number: int) -> bool:
        """Start a worker unless it is there, and wait until it is; False when all is done.

        Raises:
            DataError: workers end as soon as they begin.
        """
        if number in self.actors:
            return True
        reference, since = None, time.monotonic()
        while True:
            if reference is None and (reference := self._start(number)) is None:
                return False
            done, _ = self._ray.wait([reference], timeout=_PAUSE)
            if done:
                try:
                    self._ray.get(reference)
                    self._deaths[_START] = 0  # on a cluster whose nodes come and go some end so
                    return True
                except self._ray.exceptions.RayActorError as error:
                    self._count_start(error)
                    reference = None
            elif self._stopped.is_set():
                return False
            elif time.monotonic() > since + _PATIENCE and not self._is_told:
                self._is_told = True
                log.warning("the cluster has no room for all workers at the moment")

    def _count_start(self, error: Exception) -> None:
        self._deaths[_START] += 1
        if self._deaths[_START] >= _MOST_DEATHS * self._workers.count:
            reason = str(error).strip().rpartition("\n")[2][:200]
            raise DataError(
                f"workers end as soon as they begin ({reason}); is Offshelf installed on all nodes?"
            )

    def _start(self, number: int) -> Any:
        """Start a worker; return what tells that it is there, None where all is done."""
        workers = self._workers
        options = {"num_cpus": workers.cpus, "num_gpus": workers.gpus, "max_restarts": 0}
        actor = self._ray.remote(Worker).options(**options)
        note = secrets.token_hex(8)
        arguments = self._config, self._recipe, self._shards.images, Path.cwd(), note
        with self._lock:  # none is started behind the end, which would keep room in the cluster
            if self._stopped.is_set():
                return None
            cpus = number * workers.cpus, workers.cpus
            started = actor.remote(*arguments, *cpus, self._listed)
            self.actors[number], self._notes[number] = started, note
        return started.ready.remote()

    def _mourn(self, number: int, work: _Work) -> None:
        """Put back what a dead worker had left; raise DataError where that is no accident."""
        with self._lock, suppress(Exception):
            self._ray.kill(self.actors.pop(number))  # it may only have been out of reach
        if not work.ranges or self._stopped.is_set():
            return
        start, stop = work.ranges[0]
        self._deaths[start] += 1
        if self._deaths[start] >= _MOST_DEATHS:
            raise DataError(
                f"{_MOST_DEATHS} workers ended at images {start} to {stop - 1}, which none of them "
                "explains: memory may be short, or the engine crashes (--engine names another one)"
            )
        log.warning("a worker ended at images %d to %d, which are begun again", start, stop - 1)
        self._waiting.put_back(_Work(work.ranges, [*work.notes, self._notes[number]]))

    def _check_seen(self, start: int) -> None:
        if not self._shards.is_written(start):
            raise DataError(
                f"a worker wrote to {self._shards.folder} on its own machine; give an --out in a "
                "folder that all machines of the cluster share, or in a store"
            )


def _absolute(config: ExtractConfig) -> ExtractConfig:
    """Return the settings for a process that may have another working folder."""
    source, out = (p if is_remote(p) else p.absolute() for p in (config.source, config.out))
    return replace(config, source=source, out=out, progress=False, restart=False)


def _as_ours(error: BaseException) -> BaseException:
    """Return the error to raise in the driver for one that came from a worker or its thread."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, OffshelfError):
        return cause
    lines = [line for line in str(cause).splitlines() if line.strip(" =")]
    text = lines[-1][:200] if lines else ""
    return DataError(f"a worker failed: {type(cause).__name__}: {text}")
