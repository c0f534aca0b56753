"""The serve stage: a candidate behind HTTP, until the process is asked to end."""

import errno
import logging
import socket
from importlib.util import find_spec
from typing import Any

from features.errors import MissingPackageError, UsageError
from pipeline.classifiers.threads import one_thread
from pipeline.config import ServeConfig
from pipeline.predictors.agreement import check_agreement
from pipeline.predictors.explaining import explainer
from pipeline.predictors.judgement import judge_of
from pipeline.predictors.kit import Kit, open_kit
from pipeline.predictors.of_images import image_predictor
from pipeline.results.in_stores import in_stores

log = logging.getLogger("offshelf")

_PACKAGES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
_GRACE = 30  # seconds for what is under way when the process is asked to end


@in_stores(reads=("results",))
def run(config: ServeConfig) -> None:
    """Serve a candidate until SIGTERM or Ctrl-C; what is under way then is still answered.

    Raises:
        UsageError: no results folder, an unknown candidate, or an address that cannot be had.
        DataError: a record, the model or the features are missing, damaged or others.
        MissingPackageError: a package of the extra `serve` is missing, or one that the candidate
            needs.
    """
    if any(find_spec(name) is None for name in _PACKAGES):
        raise MissingPackageError('`pip install "offshelf[serve]"` brings what `serve` needs')
    with (
        _listening(config) as listener,
        open_kit(config.results, config.candidate, config.metric, config.features) as kit,
    ):
        app = _app(config, kit)
        host, port = listener.getsockname()[:2]
        log.info("%s is served at http://%s:%d (Ctrl-C ends it)", kit.record.name, host, port)
        with one_thread():
            _serve(app, listener)


def _listening(config: ServeConfig) -> socket.socket:
    """Return a socket that listens, so that a port that is taken is told before the long work."""
    try:
        family = socket.getaddrinfo(config.host, config.port)[0][0]
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "another program listens there" if taken else error.strerror or error
        raise UsageError(
            f"--host {config.host} --port {config.port}: {reason}; choose others"
        ) from None
    return listener


def _app(config: ServeConfig, kit: Kit) -> Any:
    """Return the application; the network is compiled for one image and for a batch."""
    from pipeline.serving.app import Limits, Service
    from pipeline.serving.batching import Batcher
    from pipeline.serving.model import Model

    predictors = tuple(
        image_predictor(kit, config.weights, trust=config.trust, batch_size=size)
        for size in sorted({1, config.max_batch})
    )
    check_agreement(kit, predictors[-1], config.features)
    judge = judge_of(kit, config.top, config.coverage, config.alarms)
    model = Model(kit.record.name, predictors, judge, explainer(kit, predictors[0], config.weights))
    most = predictors[-1].batch_size
    batcher = Batcher(model.predict, most, config.max_delay / 1000, config.max_waiting)
    limits = Limits(config.max_body << 20, config.timeout, config.max_requests)
    return Service(model, batcher, limits).app()


def _serve(app: Any, listener: socket.socket) -> None:
    import uvicorn

    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )  # fmt: skip
    uvicorn.Server(settings).run(sockets=[listener])
