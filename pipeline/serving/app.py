"""The service: what may be asked, within limits that are told. Nothing is kept of what is sent."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pipeline.reports import page
from pipeline.serving.batching import Batcher, BusyError
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model
from pipeline.serving.openapi import description

IMAGES = 64  # in a request, at most

# It would print a line for each form that is none: clients could fill the log.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Attributes:
        body: bytes of a request.
        seconds: for a request to arrive.
        requests: at a time.
    """

    body: int
    seconds: float
    requests: int


class RefusedError(Exception):
    """A request that is not answered, with the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Service:
    """The endpoints of one candidate."""

    def __init__(self, model: Model, batcher: Batcher, limits: Limits) -> None:
        self._model, self._batcher, self._limits = model, batcher, limits
        self._metrics = Metrics()
        self._under_way = 0

    def app(self) -> Starlette:
        """Return the application."""

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            self._batcher.start()
            yield
            await self._batcher.stop()

        routes = [
            Route("/", self.page),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/explain", self.explain, methods=["POST"]),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]
        handlers: dict[Any, Any] = {RefusedError: self._refused}
        return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)

    async def page(self, request: Request) -> Response:
        """Return the page to drop images on."""
        names = list(self._model.judge.class_names)
        coverage = self._model.judge.thresholds.coverage
        html = page.render("serve.html", name=self._model.name, names=names, coverage=coverage)
        return HTMLResponse(html)

    async def predict(self, request: Request) -> Response:
        """Return a prediction for each image of a request."""
        names, images = await self._images(request)
        started = time.perf_counter()
        rows = await self._computed(self._batcher.predict(images))
        self._metrics.answered(len(rows), time.perf_counter() - started)
        answers = [
            ({"name": name} if name else {}) | row for name, row in zip(names, rows, strict=True)
        ]
        return JSONResponse({"model": self._model.name, "predictions": answers})

    async def explain(self, request: Request) -> Response:
        """Return a picture of where the evidence for the class of one image lies."""
        _, images = await self._images(request)
        if len(images) != 1:
            raise RefusedError(400, f"{len(images)} images came, expected one")
        picture = await self._computed(
            self._batcher.in_thread(lambda: self._model.explain(images[0]))
        )
        if picture is None:
            raise RefusedError(422, "what came is no image that can be read")
        return Response(picture, media_type="image/png")

    async def health(self, request: Request) -> Response:
        """Say that the service is there."""
        return JSONResponse({"status": "ok", "model": self._model.name})

    async def metrics(self, request: Request) -> Response:
        """Return counts as Prometheus reads them."""
        text, kind = self._metrics.text(self._batcher.sizes)
        return Response(text, media_type=kind)

    async def openapi(self, request: Request) -> Response:
        """Return what can be asked, as OpenAPI."""
        return JSONResponse(description(self._model.name, IMAGES, self._limits.body))

    async def _images(self, request: Request) -> tuple[list[str], list[bytes]]:
        """Return names and bytes of the images of a request, which must arrive within limits."""
        if self._under_way >= self._limits.requests:
            raise RefusedError(503, f"{self._under_way} requests are under way; try again soon")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._limits.seconds):
                body = await self._body(request)
            return await _parsed(request.headers, body)
        except TimeoutError:
            reason = f"the request took more than {self._limits.seconds:g} s to arrive"
            raise RefusedError(408, reason) from None
        except ClientDisconnect:
            raise RefusedError(400, "the client has gone") from None
        finally:
            self._under_way -= 1

    async def _body(self, request: Request) -> bytes:
        reason = f"more than {self._limits.body >> 20} MiB came; send smaller images, or fewer"
        claimed = request.headers.get("content-length", "0")
        if claimed.isdigit() and int(claimed) > self._limits.body:
            raise RefusedError(413, reason)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limits.body:
                raise RefusedError(413, reason)
        if not body:
            raise RefusedError(400, "nothing came, expected the bytes of an image")
        return bytes(body)

    async def _computed(self, work: Any) -> Any:
        try:
            return await work
        except BusyError:
            raise RefusedError(503, "too many images wait already; try again soon") from None

    async def _refused(self, request: Request, error: RefusedError) -> Response:
        self._metrics.refused(error.status)
        headers = {"Retry-After": "1"} if error.status == 503 else {}
        return JSONResponse({"error": error.reason}, error.status, headers)


class _InMemory(MultiPartParser):
    """A parser that writes nothing to the disk, whatever comes."""

    spool_max_size = 2**62


async def _parsed(headers: Headers, body: bytes) -> tuple[list[str], list[bytes]]:
    """Return names and bytes of the images in a body."""
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        return [""], [body]

    async def stream() -> AsyncIterator[bytes]:
        yield body

    try:
        form = await _InMemory(headers, stream(), max_files=IMAGES, max_fields=IMAGES).parse()  # type: ignore[arg-type]
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        images = [(file.filename or "", await file.read()) for file in files]
    except (MultiPartException, ClientDisconnect, ValueError, KeyError) as error:
        reason = getattr(error, "message", "") or "the form cannot be read"
        raise RefusedError(400, str(reason)) from None
    if not images:
        raise RefusedError(400, "the form has no file, expected images")
    return [name for name, _ in images], [content for _, content in images]
