"""A candidate behind HTTP: answers as predict gives them, limits that are told, nobody held up."""

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait
from starlette.testclient import TestClient

from features.config import ExtractConfig
from features.errors import MissingPackageError, UsageError
from features.extraction import run as extraction
from pipeline.config import ClassifyConfig, PackConfig, PredictConfig, ServeConfig
from pipeline.predictors.kit import open_kit
from pipeline.serving.batching import Batcher, BusyError
from pipeline.stages import classify, pack, predict, serve
from tests.pipeline.browser import DESKTOP, PHONE, browser  # noqa: F401 # a fixture
from tests.pipeline.networks.images import NAMES, colours, write_arrays


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A pack of a classifier on colour histograms, and files of new images."""
    folder = tmp_path_factory.mktemp("home")
    source = write_arrays(folder / "c.npz", *colours(120))
    file = extraction.run(
        ExtractConfig(source, folder / "f.h5", "colour", image_size=(16, 16), progress=False)
    )
    classify.run(
        ClassifyConfig((file,), folder / "results", ("logistic",), folds=2, progress=False)
    )
    pack.run(PackConfig(folder / "results", folder / "m.zip", "best"))
    (folder / "new").mkdir()
    for number, pixels in enumerate(colours(6, seed=5)[0]):
        Image.fromarray(pixels).save(folder / "new" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def client(home):
    config = ServeConfig(home / "m.zip", max_body=1, max_waiting=8, timeout=1.0)
    with open_kit(home / "m.zip", "best") as kit, TestClient(serve._app(config, kit)) as client:
        yield client


def images(home):
    return sorted((home / "new").iterdir())


def test_it_answers_what_predict_does(home, client, tmp_path):
    out = tmp_path / "p.parquet"
    config = PredictConfig(home / "m.zip", images(home), out, progress=False)
    frame = predict.run(config).frame()
    for path, row in zip(images(home), frame.to_dict("records"), strict=True):
        (answer,) = client.post("/predict", content=path.read_bytes()).json()["predictions"]
        assert answer["class"] == row["class"]
        assert answer["probability"] == pytest.approx(row["probability"], abs=1e-6)
        assert answer["set"] == row["set"].tolist()
        assert answer["familiarity"] == pytest.approx(row["familiarity"])
        assert [each["class"] for each in answer["top"]] == [
            row["class"], row["class_2"], row["class_3"]
        ]  # fmt: skip


def test_a_form_of_several_images_is_answered_in_order_with_names(home, client):
    files = [("image", (path.name, path.read_bytes())) for path in images(home)]
    files.insert(2, ("image", ("odd.png", b"no image")))
    answers = client.post("/predict", files=files).json()["predictions"]
    assert [answer["name"] for answer in answers] == [
        "0.png", "1.png", "odd.png", "2.png", "3.png", "4.png", "5.png",
    ]  # fmt: skip
    assert "not a JPEG" in answers[2]["problem"]
    assert all(answer["class"] in NAMES for answer in answers if "class" in answer)


def test_what_cannot_be_answered_says_why(client):
    big = client.post("/predict", content=bytes(2**20 + 1))
    assert (big.status_code, big.json()["error"][:26]) == (413, "more than 1 MiB came; send")
    assert client.post("/predict").status_code == 400
    text = client.post("/predict", data={"image": "a text"}, files={})
    assert text.status_code == 200  # a form that is no multipart is the bytes of no image
    assert "problem" in text.json()["predictions"][0]
    empty = client.post("/predict", files={"image": ("", b"")}, data={"a": "b"})
    assert empty.status_code in (200, 400)
    header = {"content-type": "multipart/form-data; boundary=x"}
    broken = client.post("/predict", content=b"--y\r\n", headers=header)
    assert broken.status_code == 400
    many = client.post("/predict", files=[("image", (str(n), b"x")) for n in range(65)])
    assert many.status_code == 400
    assert client.get("/predict").status_code == 405
    assert client.get("/../etc/passwd").status_code == 404


def test_too_many_images_at_once_are_refused_and_told_when_to_come_again(home, client):
    content = images(home)[0].read_bytes()
    answer = client.post("/predict", files=[("image", (str(n), content)) for n in range(9)])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.post("/predict", content=content).status_code == 200


def test_a_picture_of_the_evidence_comes_for_one_image(home, client):
    paths = images(home)
    answer = client.post("/explain", content=paths[0].read_bytes())
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size[0] > 600
    assert client.post("/explain", content=b"no image").status_code == 422
    files = [("image", (path.name, path.read_bytes())) for path in paths[:2]]
    assert client.post("/explain", files=files).status_code == 400


def test_page_health_metrics_and_description_are_there(home, client):
    page = client.get("/")
    assert "Drop images here" in page.text
    assert "default-src 'none'" in page.text
    assert client.get("/health").json()["status"] == "ok"
    client.post("/predict", content=images(home)[0].read_bytes())
    metrics = client.get("/metrics").text
    assert re.search(r'offshelf_requests_total\{status="200"\} [1-9]', metrics)
    assert re.search(r'offshelf_batches\{images="1"\} [1-9]', metrics)
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/", "/predict", "/explain", "/health", "/metrics"}


def test_concurrent_images_are_joined_to_batches_and_keep_their_rows():
    async def many():
        batcher = Batcher(lambda batch: [{"is": image} for image in batch], 4, 0.02, 100)
        batcher.start()
        answers = await asyncio.gather(*(batcher.predict([bytes([n])]) for n in range(10)))
        await batcher.stop()
        return answers, batcher.sizes

    answers, sizes = asyncio.run(many())
    assert [answer[0]["is"] for answer in answers] == [bytes([n]) for n in range(10)]
    assert sizes == {4: 2, 2: 1}


def test_a_batch_that_fails_fails_alone_and_a_client_that_left_costs_nothing():
    ran = []

    def run(batch):
        ran.append(batch)
        if b"bad" in batch:
            raise ValueError("bad")
        return [{} for _ in batch]

    async def story():
        batcher = Batcher(run, 1, 0, 3)
        batcher.start()
        with pytest.raises(ValueError, match="bad"):
            await batcher.predict([b"bad"])
        gone = asyncio.create_task(batcher.predict([b"gone"]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await batcher.predict([b"good"]) == [{}]
        with pytest.raises(BusyError):
            await batcher.predict([b"x"] * 4)
        await batcher.stop()

    asyncio.run(story())
    assert ran == [[b"bad"], [b"good"]]


@pytest.fixture(scope="module")
def address(home):
    """The address of a service in a process of its own; at the end it must end by itself."""
    command = [sys.executable, "-m", "pipeline", "serve", str(home / "m.zip"), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--timeout", "2", "--max-body", "1", "--max-waiting", "300"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        if found := re.search(r"served at (http://\S+)", line):
            break
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{found[1]}/health")
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield found[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert "Traceback" not in process.stderr.read()


def test_two_hundred_requests_at_once_are_all_answered(home, address):
    contents = [path.read_bytes() for path in images(home)]
    with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(40) as pool:
        expected = [client.post("/predict", content=content).json() for content in contents]
        sent = [pool.submit(client.post, "/predict", content=contents[n % 6]) for n in range(200)]
        answers = [each.result() for each in sent]
    served = [answer.json() for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(served) + len(refused) == 200
    assert len(served) > 100
    for number, answer in enumerate(answers):
        if answer.status_code == 200:
            got, wanted = (a["predictions"][0] for a in (answer.json(), expected[number % 6]))
            assert got["class"] == wanted["class"]
            assert got["probability"] == pytest.approx(wanted["probability"], abs=1e-5)


def test_clients_that_trickle_or_vanish_hold_up_nobody(home, address):
    host, port = address.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    slow = [socket.create_connection((host, int(port))) for _ in range(20)]
    for connection in slow:
        connection.sendall(head + b"x")
    slow[0].close()
    content = images(home)[0].read_bytes()
    assert httpx.post(f"{address}/predict", content=content, timeout=60).status_code == 200
    slow[1].settimeout(20)
    answer = slow[1].recv(4096)
    assert b" 408 " in answer.splitlines()[0]
    for connection in slow[1:]:
        connection.close()
    assert httpx.get(f"{address}/health").status_code == 200


def test_bad_arguments_are_one_line(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="another program listens there"):
            serve.run(ServeConfig(home / "m.zip", port=port))
    with pytest.raises(UsageError, match="a port, 0 to 65535"):
        ServeConfig(home / "m.zip", port=65_536)
    with pytest.raises(UsageError, match="--host nowhere.invalid"):
        serve.run(ServeConfig(home / "m.zip", host="nowhere.invalid", port=0))
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"offshelf\[serve\]"):
        serve.run(ServeConfig(home / "m.zip"))


def test_nothing_that_is_sent_is_written(home, client, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    rolled = []
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", lambda self: rolled.append(self))
    files = {"image": ("a.png", encoded.getvalue())}
    assert client.post("/predict", files=files).status_code == 200
    assert not rolled
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_images_that_are_given_to_the_page_are_answered(home, address, browser, size):  # noqa: F811
    browser.open(address, size)
    (home / "text.png").write_bytes(b"no image")
    paths = [*images(home)[:2], home / "text.png"]
    browser.one("#files").send_keys("\n".join(map(str, paths)))

    def headings():
        return [each.text for each in browser.all("#results h2")]

    def until(condition):
        WebDriverWait(browser.driver, 60).until(lambda _: condition())

    until(lambda: len(headings()) == 3 and all(headings()))
    assert sorted(text.split(",")[0] in NAMES for text in headings()) == [False, True, True]
    item = browser.all("#results li:not(.single)")[0]
    numbers, bars = (
        item.find_elements("css selector", each) for each in ("td.number", ".bar span")
    )
    shares = [float(cell.text.rstrip(" %")) for cell in numbers]
    widths = [bar.size["width"] for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(shares[0] / max(shares[1], 0.5), rel=0.5)
    browser.run("document.querySelector('.why').click()")
    until(lambda: "evidence" in browser.run("return [...document.images].map(i => i.alt).join()"))
    assert browser.run(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    assert not browser.complaints()
