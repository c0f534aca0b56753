"""Images of concurrent requests, joined to batches; one thread computes them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

Rows = list[dict[str, Any]]


class BusyError(Exception):
    """More images wait than are allowed to."""


class Batcher:
    """A queue of images, and the task that takes batches from it.

    Attributes:
        sizes: how many batches had each number of images.
    """

    def __init__(
        self, run: Callable[[list[bytes]], Rows], most: int, delay: float, waiting: int
    ) -> None:
        """Keep the settings; `start` starts the task.

        Args:
            run: takes the bytes of image files, returns a row for each; called in a thread.
            most: images in a batch, at most.
            delay: seconds that a batch waits for further images, at most.
            waiting: images that may wait, at most.
        """
        self.sizes: Counter[int] = Counter()
        self._run, self._most, self._delay, self._waiting = run, most, delay, waiting
        self._queue: asyncio.Queue[tuple[bytes, asyncio.Future[dict[str, Any]]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "predict")

    def start(self) -> None:
        """Start to take batches from the queue, in the running event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop after the batch that is being computed."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._thread.shutdown()

    async def predict(self, images: list[bytes]) -> Rows:
        """Return a row for each image; raises BusyError where too many wait already."""
        if self._queue.qsize() + len(images) > self._waiting:
            raise BusyError
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in images]
        for pair in zip(images, futures, strict=True):
            self._queue.put_nowait(pair)
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:  # of a client that has gone: nothing is computed for it
                future.cancel()

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a call in the thread that computes, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            if self._queue.qsize() < self._most - 1:
                await asyncio.sleep(self._delay)
            while len(batch) < self._most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if wanted := [pair for pair in batch if not pair[1].done()]:
                await self._answer([pair[0] for pair in wanted], [pair[1] for pair in wanted])

    async def _answer(
        self, images: list[bytes], futures: "list[asyncio.Future[dict[str, Any]]]"
    ) -> None:
        self.sizes[len(images)] += 1
        try:
            rows = await self.in_thread(lambda: self._run(images))
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, row in zip(futures, rows, strict=True):
            if not future.done():
                future.set_result(row)
