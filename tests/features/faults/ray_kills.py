"""Runs on a Ray cluster of three nodes whose workers, nodes and drivers are killed."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

import features
from features.engines.base import Compiled
from features.errors import DataError
from features.extraction import ray_executor
from features.extraction.ray_worker import Worker
from features.extraction.shards import Shards
from tests.features.faults import stub

NODES, WAIT = 3, 0.05  # nodes of one CPU each; seconds that a batch takes
START = 900.0  # seconds that a node may take to start
PATIENT = {  # where other work keeps the machine busy, nothing but a kill ends a process
    "health_check_timeout_ms": 600_000,
    "worker_register_timeout_seconds": 600,
    "gcs_rpc_server_reconnect_timeout_s": 600,
    "agent_register_timeout_ms": 600_000,
    "enable_metrics_collection": False,
}


def waiting(model: Any, recipe: Any) -> Compiled:
    """The network of `stub`, which takes its time."""
    compiled = stub.compiled(model, recipe)

    def forward(pixels: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(WAIT)
        return compiled.forward(pixels)

    return Compiled(compiled.shapes, forward)


class Waiting(Worker):
    """A worker whose network only waits."""

    @cached_property
    def _parts(self):
        with patch("features.extraction.ray_worker.compile_model", waiting):
            return Worker._parts.func(self)


@contextmanager
def cluster() -> Iterator[Any]:
    """Start three nodes of this machine; none of them is the driver's."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    get_node = services.get_node

    def waiting_for(*arguments: Any) -> Any:  # where Ray itself gives up after half a minute
        until = time.monotonic() + START
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    with patch.object(services, "get_node", waiting_for):
        yield from _cluster(Cluster)


def _cluster(make: Any) -> Iterator[Any]:
    nodes = make(initialize_head=True, head_node_args=_node(0) | {"_system_config": PATIENT})
    try:
        for _ in range(NODES):
            nodes.add_node(**_node(1))
        nodes.wait_for_nodes(START)
        yield nodes
    finally:
        nodes.shutdown()


def _node(cpus: int) -> dict[str, Any]:
    light = {"object_store_memory": 2**27, "include_dashboard": False}
    return {"num_cpus": cpus, "wait": False} | light


def extract(source: Path, out: Path, address: str) -> None:
    with stub.stubbed(), patch.object(ray_executor, "Worker", Waiting):
        features.extract(
            source, out, progress=False, executor="ray", ray_address=address, workers=NODES,
            **stub.OPTIONS,
        )  # fmt: skip


def worker_kills(folder: Path, machines: Any, images: int = 480, seed: int = 0) -> Iterator[int]:
    """Kill a worker after every other shard, in one of twenty cases its node; yield the rows lost.

    Each run comes to its end, and what it lost counts with its last kill.
    """
    source = stub.images(folder / "images.npz", images)
    whole, chance = stub.extract(source, folder / "whole.h5"), Random(seed)
    for number in count():
        out = folder / str(number) / "out.h5"
        kills = _run_killing(source, out, machines, chance)
        yield from [0] * (kills - 1)
        yield stub.rows_lost(out, whole) + len(list(out.parent.iterdir())) - 1


def _run_killing(source: Path, out: Path, machines: Any, chance: Random) -> int:
    """Run to the end while workers are killed; return how many were."""
    take_over, kills, shards = Shards.take_over, 0, 0

    def killing(done: Shards, *arguments: Any) -> None:
        nonlocal kills, shards
        take_over(done, *arguments)
        shards += 1
        if shards % 2 == 0 and done.missing():
            time.sleep(chance.uniform(0, 0.2))
            if chance.random() < 0.05:
                _replace_node(machines, chance)
                kills += 1
            else:
                kills += _kill_worker(chance)

    with patch.object(Shards, "take_over", killing):
        try:
            extract(source, out, machines.address)
        except DataError as error:  # as many as show that something is wrong met one shard
            assert "workers ended at images" in str(error), error
            kills += _run_killing(source, out, machines, chance)
    return kills


def _kill_worker(chance: Random) -> int:
    """Send SIGKILL to a worker that computes; return how many were sent."""
    import psutil  # which comes with Ray

    workers = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error, IndexError):
            if process.cmdline()[0].startswith(f"ray::{Waiting.__name__}"):
                workers.append(process)
    if not workers:
        return 0
    chance.choice(workers).kill()
    return 1


def _replace_node(machines: Any, chance: Random) -> None:
    node = chance.choice([node for node in machines.list_all_nodes() if node != machines.head_node])
    machines.remove_node(node, allow_graceful=False)
    machines.add_node(**_node(1))
    machines.wait_for_nodes(START)


def driver_kills(folder: Path, machines: Any, images: int = 480, seed: int = 0) -> Iterator[int]:
    """Send SIGKILL to drivers at random moments of their work, and repeat the command."""
    source = stub.images(folder / "images.npz", images)
    whole, chance = stub.extract(source, folder / "whole.h5"), Random(seed)
    for number in count():
        out = folder / str(number) / "out.h5"
        while _killed_driver(source, out, machines.address, chance.uniform(0, 3)):
            yield 0
        lost = stub.rows_lost(out, whole) + len(list(out.parent.iterdir())) - 1
        assert lost == 0, f"run {number} lost {lost} rows in the end"


def _killed_driver(source: Path, out: Path, address: str, seconds: float) -> bool:
    """Run a driver, and kill it so long after it has something to work on; tell whether it was."""
    code = f"from {__name__} import drive; drive()"
    words = [sys.executable, "-c", code, source, out, address]
    with subprocess.Popen(
        [*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        process.stdout.readline()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        code = process.wait()
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def drive() -> None:
    """Be a driver, which says when its first shard is done."""
    take_over, told = Shards.take_over, threading.Event()

    def telling(shards: Shards, *arguments: Any) -> None:
        take_over(shards, *arguments)
        if not told.is_set():
            print("a shard is done", flush=True)
            told.set()

    with patch.object(Shards, "take_over", telling):
        extract(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
