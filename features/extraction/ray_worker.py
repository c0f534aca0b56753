"""What runs in the workers of a Ray cluster: the reading to writing of a local run."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from features.config import ExtractConfig
from features.engines.base import Compiled
from features.errors import DataError
from features.extraction.planning import Plan, compile_model, plan_extraction
from features.extraction.shards import Shards
from features.extraction.stream import Range, stream_rows
from features.extraction.watch import Watch
from features.records import Recipe
from features.remote.location import is_remote
from features.sources import open_source
from features.storage.row_blocks import Size

Done = tuple[int, int, Size, dict[str, int]]  # start, stop, size and notes of a shard


class Worker:
    """What runs in the cluster: a plan that equals the driver's, and the compiled network."""

    def __init__(
        self,
        config: ExtractConfig,
        recipe: str,
        images: int,
        folder: Path,
        note: str,
        first_cpu: int,
        cpus: int,
        listed: list[Any],
    ) -> None:
        """Keep what `compute` needs; an error in here would lose its message on its way.

        Args:
            config: the settings; paths are absolute.
            recipe: the driver's recipe as JSON.
            images: the number of images in a shard.
            folder: the driver's working folder.
            note: the name of its note of the images that it decodes.
            first_cpu: the number of the first CPU that it takes.
            cpus: how many it takes.
            listed: the reference to the driver's source, if it travels.
        """
        self._config, self._recipe, self._images = config, recipe, images
        self._listed = listed
        self._cpus, self._folder, self._note = (first_cpu, cpus), folder, note

    def ready(self) -> str:
        """Return the name of the machine, when the worker is there."""
        return socket.gethostname()

    @cached_property
    def _parts(self) -> tuple[Plan, Compiled, Shards]:
        """The plan, the compiled network and the shards; DataError where the rows would differ."""
        _keep_to(*self._cpus)
        config = self._config
        with suppress(OSError):  # where weights and own networks may lie
            os.chdir(self._folder)
        plan = self._plan()
        if plan.recipe.to_json() != self._recipe:
            differences = "; ".join(Recipe.from_json(self._recipe).differences(plan.recipe))
            raise DataError(
                f"a worker on {socket.gethostname()} would compute other rows ({differences}); "
                "install the same versions there, or name --engine and --precision"
            )
        network = compile_model(plan.model, plan.recipe)
        shards = Shards(config.out, plan.recipe, len(plan.source), self._images, keeps=False)
        watch = Watch(shards.folder, plan.watch.look, self._note)
        watch.read_list()
        return replace(plan, watch=watch), network, shards

    def _plan(self) -> Plan:
        """Make the plan with the driver's list of the images; with an own one if it has to be."""
        config = self._config
        if not self._listed:
            return plan_extraction(config, open_source(config.source, config.limit, config.splits))
        import ray

        (source,) = ray.get(self._listed)  # its arrays lie in memory that the node's workers share
        if not (is_remote(config.source) or config.source.exists()):
            raise DataError(f"there is nothing at {config.source} on {socket.gethostname()}")
        return plan_extraction(config, source, Recipe.from_json(self._recipe).source)

    def find(self, notes: list[str]) -> list[str]:
        """Find the images at which other workers have crashed; return a sentence for each.

        Args:
            notes: the names of their notes.
        """
        plan, _, _ = self._parts
        return plan.watch.try_named(plan.source, notes)

    def compute(self, ranges: list[Range]) -> Iterator[Done]:
        """Compute and write shards; yield what is to be known of each."""
        plan, network, shards = self._parts
        with closing(stream_rows(plan, network, ranges, lambda images: None)) as stream:
            for start, stop, rows in stream:
                shards.write(start, stop, rows)
                yield start, stop, rows.size, rows.notes


def _keep_to(first: int, count: int) -> None:
    """Keep this process to some CPUs, so that workers of one machine do not share them."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cpus = sorted(os.sched_getaffinity(0))
    chosen = {cpus[(first + step) % len(cpus)] for step in range(count)}
    os.sched_setaffinity(0, chosen)
