"""Does the way to a store set the pace? ResNet50 from a disk and from a store that answers late.

    python -m benchmarks.remote                           200 JPEGs, 50 ms, eight rounds
    python -m benchmarks.remote --delay 200 --rounds 3

A server of its own process on loopback speaks as much S3 as reading takes, and waits before each
answer. JPEGs of 500 x 375 pixels are read as a folder, a zip and a tar, from the disk and from the
server, one right after the other, and which comes first changes from round to round. The share is
that of images/s from the disk in such a pair: the median of all pairs, and the middle half of them.
By the clock the server's own CPU counts too, as it runs on the same machine. CPU is that of the
process that extracts, without the server's, per image.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import re
import statistics
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import features
from benchmarks.images import jpegs, make_jpegs
from pipeline.reports.tables import render

KINDS = ("photos", "photos.zip", "photos.tar")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1",
    "no_proxy": "127.0.0.1",
}  # fmt: skip


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="remote-") as scratch:
        folder = Path(scratch) / "bucket"
        folder.mkdir()
        make_jpegs(folder / "photos", arguments.images)
        pack(folder)
        with Server(folder, arguments.delay / 1000) as url:
            os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=url)
            print(render(HEADER, measure(folder, Path(scratch), arguments)))


HEADER = (
    "source", "disk: images/s", "store: images/s", "share", "middle half", "CPU ms an image, disk",
    "store", "share by CPU",
)  # fmt: skip


def measure(folder: Path, scratch: Path, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Return a row for each kind of source."""
    extract(folder / "photos", scratch / "warm.h5", arguments.backbone)  # the network is converted
    pairs: dict[str, list[dict[str, tuple[float, float]]]] = {kind: [] for kind in KINDS}
    for number in range(arguments.rounds):
        for kind in KINDS:
            places = [("disk", folder / kind), ("store", f"s3://bucket/{kind}")]
            pair = {}
            for place, source in places if number % 2 == 0 else reversed(places):
                out = scratch / f"{place}-{kind}-{number}.h5"
                pair[place] = extract(source, out, arguments.backbone)
                out.unlink()
            pairs[kind].append(pair)
    return [row(kind, pairs[kind], arguments.images) for kind in KINDS]


def row(kind: str, pairs: list[dict[str, tuple[float, float]]], images: int) -> tuple[str, ...]:
    """Return the row of a kind of source from seconds by the clock and of the CPU."""
    wall, cpu = (
        {place: [pair[place][i] for pair in pairs] for place in ("disk", "store")} for i in (0, 1)
    )
    shares = [pair["disk"][0] / pair["store"][0] for pair in pairs]
    low, middle, high = statistics.quantiles(shares, n=4) if len(shares) > 1 else shares * 3
    by_cpu = statistics.median(pair["disk"][1] / pair["store"][1] for pair in pairs)
    rate, each = (
        lambda place: images / statistics.median(wall[place]),
        lambda place: 1000 * statistics.median(cpu[place]) / images,
    )
    return (
        kind, f"{rate('disk'):.1f}", f"{rate('store'):.1f}", f"{middle:.2f}",
        f"{low:.2f} to {high:.2f}", f"{each('disk'):.1f}", f"{each('store'):.1f}", f"{by_cpu:.2f}",
    )  # fmt: skip


def extract(source: Path | str, out: Path, backbone: str) -> tuple[float, float]:
    """Extract; return seconds by the clock and of the CPU."""
    before = time.perf_counter(), time.process_time()
    features.extract(source, out, backbone=backbone, progress=False)
    return time.perf_counter() - before[0], time.process_time() - before[1]


def pack(folder: Path) -> None:
    """Write the photographs as a zip and a tar beside their folder."""
    with zipfile.ZipFile(folder / "photos.zip", "w") as packed:
        for path in jpegs(folder / "photos"):
            packed.write(path, path.relative_to(folder))
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for path in jpegs(folder / "photos"):
            tar.add(path, path.relative_to(folder).as_posix())


class Server:
    """A process that serves a folder as the S3 bucket `bucket`; its URL while in the context."""

    def __init__(self, folder: Path, delay: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(folder, delay, theirs), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._ours.recv()}"

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()


def serve(folder: Path, delay: float, pipe) -> None:
    async def run() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: _connection(folder, delay, reader, writer), "127.0.0.1", 0
        )
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _connection(folder: Path, delay: float, reader, writer) -> None:
    try:
        while line := await reader.readline():
            method, target, _ = line.decode().split()
            headers = {}
            while (header := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            await asyncio.sleep(delay)
            writer.write(answer(folder, method, target, headers.get("range", "")))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def answer(folder: Path, method: str, target: str, part: str) -> bytes:
    """Return an answer of HTTP: to HEAD, GET of an object or a range of it, or a listing."""
    parts = urlsplit(target)
    key = unquote(parts.path).removeprefix("/bucket").strip("/")
    if not key:
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        return _message("200 OK", _listing(folder, prefix), "application/xml")
    path = folder / key
    if not path.is_file():
        return _message("404 Not Found", b"")
    size, start, status = path.stat().st_size, 0, "200 OK"
    length, extra = size, f"ETag: {_etag(path)}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    if match := re.match(r"bytes=(\d+)-(\d*)", part):
        start, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        length, status = last + 1 - start, "206 Partial Content"
        extra += f"Content-Range: bytes {start}-{last}/{size}\r\n"
    with path.open("rb") as file:
        file.seek(start)
        content = b"" if method == "HEAD" else file.read(length)
    return _message(status, content, extra=extra, length=length)


def _etag(path: Path) -> str:
    facts = path.stat()
    return f'"{hashlib.sha256(f"{path} {facts.st_mtime_ns}".encode()).hexdigest()[:32]}"'


def _listing(folder: Path, prefix: str) -> bytes:
    items = "".join(
        f"<Contents><Key>{escape(path.relative_to(folder).as_posix())}</Key><Size>{path.stat().st_size}"
        f"</Size><ETag>{escape(_etag(path))}</ETag><LastModified>2026-01-01T00:00:00.000Z"
        "</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix().startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


def _message(
    status: str,
    content: bytes,
    kind: str = "image/jpeg",
    extra: str = "",
    length: int = -1,
) -> bytes:
    size = len(content) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{extra}\r\n"
    return head.encode() + content


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200, metavar="N")
    parser.add_argument("--delay", type=float, default=50, metavar="MS")
    parser.add_argument("--rounds", type=int, default=8, metavar="N")
    parser.add_argument("--backbone", default="resnet50", metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    main()
