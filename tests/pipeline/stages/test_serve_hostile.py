"""What a hostile client gets of a service: a status that says why; and the service lives, small."""

import contextlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.pipeline.networks.images import NAMES
from tests.pipeline.stages.test_serve import home, images  # noqa: F401 # a fixture

SECONDS = 2  # for a request to arrive
GROWTH = 150 << 20  # bytes by which the service may grow; a bomb would need some hundred more


@pytest.fixture(scope="module")
def service(home):  # noqa: F811
    """The address of a service in a process of its own, and the number of the process."""
    command = [sys.executable, "-m", "pipeline", "serve", str(home / "m.zip"), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--timeout", str(SECONDS), "--max-body", "1"], stderr=subprocess.PIPE, text=True
    )
    address = next(
        found[1] for line in process.stderr if (found := re.search(r"at (http://\S+)", line))
    )
    with contextlib.suppress(httpx.TransportError):
        httpx.Client(transport=httpx.HTTPTransport(retries=5)).get(f"{address}/health", timeout=30)
    yield address, process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert "Traceback" not in process.stderr.read()


@pytest.fixture(autouse=True)
def still_alive_and_small(service, home):  # noqa: F811
    """Whatever a test sends, the next client is answered, and memory has not grown."""
    address, pid = service
    content = images(home)[0].read_bytes()
    assert httpx.post(f"{address}/predict", content=content, timeout=60).status_code == 200
    before = resident(pid)
    yield
    answer = httpx.post(f"{address}/predict", content=content, timeout=60).json()
    assert answer["predictions"][0]["class"] in NAMES
    assert resident(pid) < before + GROWTH


def resident(pid):
    """Return the bytes that a process has held in memory at most."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) << 10


def connect(service):
    host, port = service[0].removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def first_line(connection):
    return connection.recv(4096).decode().splitlines()[0]


@pytest.mark.parametrize("head", ["Content-Length: 104857600", "Transfer-Encoding: chunked"])
def test_a_hundred_megabytes_are_refused_before_they_have_come(service, head):
    sent, mebibyte = 0, bytes(1 << 20)
    with connect(service) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        with contextlib.suppress(OSError):  # the service may hang up
            for _ in range(100):
                part = mebibyte if "Length" in head else b"100000\r\n" + mebibyte + b"\r\n"
                connection.sendall(part)
                sent += 1
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    assert " 413 " in first_line(connection)
                    break
                connection.setblocking(True)
    assert sent < 100


def png(width, height):
    """Return a PNG of one grey, of any size in few bytes."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = zlib.compress(bytes(1 + (width + 7) // 8) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(40_000, 40_000), "40000 x 40000 pixels"),
        (b"just a text", "not a JPEG"),
        (b"/etc/passwd", "not a JPEG"),
        (b"../../../../etc/passwd\0.png", "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "decoded"),
    ],
    ids=["bomb", "text", "path", "path up", "svg", "cut"],
)
def test_what_is_no_image_has_its_reason(service, content, reason):
    answer = httpx.post(f"{service[0]}/predict", content=content, timeout=60)
    assert answer.status_code == 200
    assert reason in answer.json()["predictions"][0]["problem"]
    refused = httpx.post(f"{service[0]}/explain", content=content, timeout=60)
    assert refused.status_code == 422


def test_a_path_as_a_name_is_a_name(service, home):  # noqa: F811
    files = {"image": ("../../etc/passwd", images(home)[0].read_bytes())}
    (answer,) = httpx.post(f"{service[0]}/predict", files=files, timeout=60).json()["predictions"]
    assert answer["name"] == "../../etc/passwd"
    assert answer["class"] in NAMES


def test_a_byte_now_and_then_ends_with_408(service):
    with connect(service) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        connection.setblocking(False)
        line, deadline = "", time.monotonic() + 30
        while not line and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                connection.sendall(b"x")
            time.sleep(SECONDS / 10)
            with contextlib.suppress(BlockingIOError):
                line = first_line(connection)
    assert " 408 " in line


def test_clients_that_leave_before_their_answer_cost_nobody_else_one(service, home):  # noqa: F811
    content = images(home)[0].read_bytes()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    for _ in range(50):
        with connect(service) as connection:
            connection.sendall(head + content)
            # Closed at once, with a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff" * 200 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000,
        b"POST /predict HTTP/1.1\r\n" + b"a: b\r\n" * 50_000,
    ],
    ids=["noise", "long line", "many headers"],
)
def test_what_is_no_request_is_hung_up_on(service, sent):
    with connect(service) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            received = connection.recv(4096)
            assert received == b"" or b" 400 " in received.splitlines()[0]
