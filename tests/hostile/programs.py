"""What a case runs: a command, with a network that costs nothing or an own one; or a request."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from features.errors import OffshelfError
from features.text import in_line
from pipeline.commands.main import main
from pipeline.commands.parser import parser
from tests.features.faults import stub
from tests.hostile import forked

REQUEST, OPENVINO, OWN, TIMM = "request", "openvino", "own", "timm"


def run(words: list[str]) -> int | str | None:
    """Run what words name; return its exit code."""
    return _PROGRAMS.get(words[0], command)(words)


def command(words: list[str]) -> int:
    """Run a command of ours; its parser is made once, as that takes a third of the time."""
    with patch("pipeline.commands.main.parser", _parser):
        return main([*words, "--quiet", *(stub.ARGUMENTS if words[0] == "extract" else [])])


_parser = cache(parser)


def on_openvino(words: list[str]) -> int:
    """Run a command with OpenVINO, and a network of the stub's sums."""
    with converting():
        return command(words[1:])


@contextmanager
def converting() -> Iterator[None]:
    """Let OpenVINO's engine have a small network instead of one that TensorFlow gives it."""
    from features.engines import openvino_engine

    with (
        patch("features.extraction.model.assemble"),
        patch.object(openvino_engine, "_converted", _sums),
    ):
        yield


def _sums(network: object, batch_shape: tuple[int, int, int, int]) -> Any:
    import numpy as np

    from features.engines.openvino_engine import openvino

    ops = openvino.opset13

    pixels = ops.parameter(batch_shape, np.uint8, name="pixels")
    sums = ops.reduce_sum(ops.convert(pixels, np.float32), ops.constant([1], np.int64))
    wide = ops.constant(np.ones((1, batch_shape[2], 3), np.float32))
    flat = ops.reshape(
        ops.multiply(sums, wide), ops.constant([batch_shape[0], -1], np.int64), False
    )
    result = ops.result(flat)
    result.output(0).get_tensor().set_names({"out_relu"})
    return openvino.Model([result], [pixels], "sums")


def on_own(words: list[str]) -> int:
    """Run a command about the network of a file, which a fork looks through."""
    with forked.asking():
        return command(words[1:])


def on_timm(words: list[str]) -> int:
    """Give a small network of timm the weights in a file."""
    from features.backbones.elsewhere import Wanted
    from features.backbones.opening import find

    try:
        wanted = Wanted("timm/test_resnet", words[1], None, (32, 32), 2, 0)
        find(wanted).make(["features"], "avg", "float32", (2, 32, 32, 3))
    except OffshelfError as error:
        print(f"error: {in_line(error)}", file=sys.stderr)
        return 1
    return 0


def request(words: list[str]) -> int:
    """Send the request in a file to the service of a pack; print the answer.

    An answer is taken, a refusal is printed as the one line of a command would be.
    """
    _, pack, path, file = words
    head, _, body = Path(file).read_bytes().partition(b"\n\n")
    headers = [(b"content-type", head)]
    answer = _client(Path(pack).read_bytes()).post(path, content=body, headers=headers)
    if answer.status_code == 200:
        is_json = answer.headers["content-type"] == "application/json"
        print(json.dumps(answer.json()) if is_json else "a picture")
        return 0
    print(f"error: {answer.status_code} {answer.json()['error']}", file=sys.stderr)
    return 1


@cache
def _client(pack: bytes) -> Any:
    from starlette.testclient import TestClient

    from pipeline.config import ServeConfig
    from pipeline.predictors.kit import open_kit
    from pipeline.stages import serve

    Path("out-served.zip").write_bytes(pack)
    config = ServeConfig(Path("out-served.zip"), max_body=1, timeout=5.0)
    kit = _open.enter_context(open_kit(config.results, config.candidate))
    client = _open.enter_context(TestClient(serve._app(config, kit)))
    Path("out-served.zip").unlink()
    return client


_open = ExitStack()  # of services, which stay until the process ends
_PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    REQUEST: request, OPENVINO: on_openvino, OWN: on_own, TIMM: on_timm
}  # fmt: skip
