"""HDF5 files that were made to do harm: each is refused in one line, and this process lives on."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.errors import DataError
from features.sources import open_source
from features.storage import hdf5_guard, hdf5_walk
from features.storage.store import FeatureFile
from tests.features.examples import attributes, plain, recipe, rows, write

IMAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
TEXT = h5py.string_dtype("utf-8", 8)


@pytest.fixture
def path(tmp_path):
    """A valid feature file."""
    write(tmp_path / "x.h5", [rows(0, 9, 2)], attributes(recipe()))
    return tmp_path / "x.h5"


@pytest.fixture
def harmed(tmp_path, monkeypatch):
    """Have the guard's process run code at files called bad.h5, and note which fork looks."""

    def start(harm: str) -> hdf5_guard._Lookout:
        code = (
            "import os; from features.storage import hdf5_lookout, hdf5_walk\n"
            "hdf5_lookout.CPU_SECONDS = 1; walk = hdf5_walk._look_through; seen = []\n"
            "def look(path, *rest):\n"
            f"  print(os.path.basename(path), os.getpid(), file=open({str(tmp_path / 'forks')!r}, 'a'))\n"
            f"  seen.append(path)\n  if path.endswith('bad.h5'):\n    {harm}\n"
            "  return walk(path, *rest)\n"
            "hdf5_walk._look_through = look; hdf5_lookout.serve()"
        )
        monkeypatch.setattr(hdf5_guard, "_START", code)
        monkeypatch.setattr(hdf5_guard, "_lookout", lookout := hdf5_guard._Lookout())
        stack.callback(lookout._end)
        return lookout

    with ExitStack() as stack:
        yield start


def replace(path: Path, name: str, **new) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, **new)


def never(path, *_):
    raise AssertionError(f"{path} was looked through")


def test_a_file_is_looked_through_once_until_it_changes(path, monkeypatch):
    FeatureFile(path).close()
    with monkeypatch.context() as patch:
        patch.setattr(hdf5_guard._lookout, "problem_of", never)
        FeatureFile(path).close()
        os.utime(path, (1, 1))
        with pytest.raises(DataError, match="was looked through"):
            FeatureFile(path)
        hdf5_guard.vouch(path)
        FeatureFile(path).close()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("import ctypes; ctypes.string_at(0)", r"HDF5 crashes on it \(SIGSEGV\)"),
        ("os.abort()", r"HDF5 crashes on it \(SIGABRT\)"),
        ("while True: pass", "HDF5 needs more than 1 s to look through it"),
        ("bytearray(2**30)", "it takes more than 512 MiB"),
    ],
)
def test_harm_is_done_to_another_process_alone(path, tmp_path, harmed, harm, message):
    lookout, bad = harmed(harm), path.rename(tmp_path / "bad.h5")
    with pytest.raises(DataError, match=message) as caught:
        FeatureFile(bad)
    assert "\n" not in str(caught.value)
    process = lookout._process
    FeatureFile(bad.rename(path)).close()
    assert lookout._process is process  # it is still there for the next file


CRASH = "HDF5 crashes on it (SIGABRT); it is damaged, or was made to do harm"


@pytest.mark.parametrize(
    ("harm", "problem", "looks", "goes_on"),
    [
        ("pass", None, 1, True),
        ("hdf5_walk.passed_over.append('a fault')", None, 2, False),
        ("if len(seen) > 1: os.abort()", None, 2, True),  # of what earlier files have left
        ("os.abort()", CRASH, 2, False),
        ("seen.append(bytearray(hdf5_lookout._LEFT_BYTES))", None, 1, False),
    ],
)
def test_a_fork_goes_on_after_files_without_fault_alone(
    path, tmp_path, harmed, harm, problem, looks, goes_on
):
    lookout = harmed(harm)
    for name in ("a.h5", "b.h5", "bad.h5", "c.h5", "d.h5"):
        (tmp_path / name).hardlink_to(path)
        found = lookout.problem_of(tmp_path / name, None, False)
        assert found == (problem if name == "bad.h5" else None)
    forks: dict[str, list[str]] = {}
    for line in (tmp_path / "forks").read_text().splitlines():
        name, fork = line.split()
        forks.setdefault(name, []).append(fork)
    assert forks["a.h5"] == forks["b.h5"] == forks["bad.h5"][:1]
    assert len(forks["bad.h5"]) == looks
    assert forks["c.h5"] == forks["d.h5"]
    assert (forks["c.h5"] == forks["bad.h5"][-1:]) is goes_on


def test_a_process_that_is_gone_is_started_again(path):
    FeatureFile(path).close()
    hdf5_guard._lookout._process.kill()
    hdf5_guard._lookout._process.wait()
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match="has ended"):
        FeatureFile(path)
    FeatureFile(path).close()


def test_bounds_of_a_file(path, monkeypatch):
    with h5py.File(path, "r+") as file:
        for number in range(8):
            file.create_group("/".join("abcdefgh"[: number + 1]))
            file.attrs[f"n{number}"] = number
    for name, value, message in [
        ("MOST_OBJECTS", 10, "more than 10 groups and datasets"),
        ("MOST_DEPTH", 6, "more than 6 deep"),
        ("MOST_ATTRIBUTES", 7, "more than 7 attributes"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(hdf5_walk, name, value)
            assert message in hdf5_walk.problem_of(str(path), None, False)
    assert hdf5_walk.problem_of(str(path), None, False) is None


def many_rejected(path):
    for name in ("rejected/id", "rejected/reason"):
        replace(path, name, shape=10**7, dtype=h5py.string_dtype("utf-8", 1), compression="gzip",
                chunks=(2**20,), fillvalue=b"")  # fmt: skip
        with h5py.File(path, "r+") as file:
            for chunk in range(10):
                file[name][chunk << 20 : (chunk + 1) << 20] = b""


def wide_ids(path):
    replace(path, "images/id", data=np.array([b"x"] * 9, h5py.string_dtype("utf-8", 2**21)),
            compression="gzip")  # fmt: skip


def long_texts(path):
    ids = np.array([b"x" * 2**20] * 9, h5py.string_dtype("utf-8", 2**20))
    replace(path, "images/id", data=ids, compression="gzip", chunks=(1,))


def many_layers(path):
    with h5py.File(path, "r+") as file:
        for number in range(2001):
            file[f"features/{number}"] = file["features/a"]


def no_width(path):
    replace(path, "features/a", shape=(9, 0), dtype="f4")


def surrogate(path):
    with h5py.File(path, "r+") as file:
        file["features"].id.move(b"a", b"\xff")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (many_rejected, r"/rejected/id claims the shape \(10000000,\) but stores"),
        (wide_ids, "/images/id has texts of 2,097,152 bytes, expected 1,048,576 at most"),
        (many_layers, "/features has 2,003 members, expected at most 2,000"),
        (no_width, r"/features/a has the shape \(9, 0\): rows without values"),
        (surrogate, r"/features has a member called b'\\xff', which is not utf-8"),
    ],
)
def test_feature_files_beyond_a_bound(path, harm, message):
    harm(path)
    with pytest.raises(DataError, match=message):
        FeatureFile(path)


def test_texts_that_unpack_to_far_more_than_the_file(path, monkeypatch):
    long_texts(path)
    monkeypatch.setattr("features.storage.expansion.FREE_BYTES", 2**16)
    with FeatureFile(path) as file, pytest.raises(DataError, match="texts of more than"):
        file.ids  # noqa: B018


def test_a_text_that_no_reader_takes_is_not_written(tmp_path):
    block = plain(extra={"note": ["é" * 2**19 + "x", "", "", ""]})
    with pytest.raises(DataError, match="a text of 1,048,577 bytes, expected at most 1,048,576"):
        write(tmp_path / "x.h5", [block], attributes(recipe()))


def test_a_damaged_chunk_is_named(path):
    with h5py.File(path, "r+") as file:
        chunk = file["images/id"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with FeatureFile(path) as file:
        with pytest.raises(DataError, match="x.h5: /images/id cannot be read") as caught:
            list(file.blocks("images/id"))
        assert "\n" not in str(caught.value)
        assert any("/images/id cannot be read" in problem for problem in file.problems())


def link(file):
    file["features/b"].parent["c"] = h5py.ExternalLink("/etc/hostname", "/")


def elsewhere(file):
    file.create_dataset("other", (9, 5), "f4", external=[("/etc/hostname", 0, 180)])


def claim(file):
    file.create_dataset("other", (9, 2**40), "f4", chunks=(1, 1024))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (link, "c in /features is a link to elsewhere; copy what it leads to"),
        (elsewhere, "/other lies in another file; copy it into this one"),
        (claim, r"/other claims the shape \(9, 1099511627776\) but stores 0 bytes"),
    ],
)
def test_where_all_of_a_file_is_read_nothing_leads_out_of_it(path, harm, message):
    """As Keras reads weights."""
    with h5py.File(path, "r+") as file:
        harm(file)
    with pytest.raises(DataError, match=message):
        hdf5_guard.check(path)


def never_written(file):
    file.create_dataset("images", (10**9, 1, 1), "u1", chunks=(1000, 1, 1))


def black_points(file):
    images = file.create_dataset("images", (2**18, 1, 1), "u1", chunks=(2**18, 1, 1),
                                 compression="gzip")  # fmt: skip
    images[:] = 0


def large_chunk(file):
    file.create_dataset("images", (2, 10**5, 10**4), "u1", chunks=(1, 10**5, 10**4),
                        compression="gzip")  # fmt: skip


def scattered(file):
    file.create_dataset("images", (2, 70, 70), "u1", chunks=(1, 1, 1))[0] = 1


def texts_from_one(file):
    """A million texts that are one and the same in the file's heap."""
    file["images"] = np.zeros((4000, 5, 6), np.uint8)
    labels = file.create_dataset("labels", 4000, h5py.string_dtype(), chunks=(1,))
    labels[0] = "x" * 2**18
    reference = labels.id.read_direct_chunk((0,))[1]
    for row in range(4000):
        labels.id.write_direct_chunk((row,), reference)


def wide_labels(file):
    file["images"] = IMAGES
    file.create_dataset("labels", data=np.array([b"a"] * 4, "S33554432"), compression="gzip")


def other_filter(file):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((4, 5, 6))
    created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)  # zstandard, which is no part of HDF5
    space = h5py.h5s.create_simple((4, 5, 6))
    h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, created)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (never_written, r"images claims the shape \(1000000000, 1, 1\) but stores 0 bytes"),
        (black_points, r"images claims the shape \(262144, 1, 1\) but stores"),
        (large_chunk, "/images is compressed in chunks of 1,000,000,000 bytes"),
        (scattered, "each row of images is spread over 4,900 chunks"),
        (texts_from_one, "/labels has texts of more than|the texts of /labels cannot be read"),
        (wide_labels, "labels has texts of 134,217,728 bytes in a file of"),
        (
            other_filter,
            "images is compressed by filter 32015, which is not read here; compress it with gzip",
        ),
    ],
)
def test_arrays_beyond_a_bound(tmp_path, build, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        build(file)
    started = time.process_time()
    with pytest.raises(DataError, match=message) as caught:
        open_source(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert time.process_time() - started < 5


def test_images_of_too_many_pixels(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = IMAGES
    monkeypatch.setattr("features.sources.labelled_arrays.MAX_PIXELS", 29)
    with pytest.raises(DataError, match="images of more than 29 pixels"):
        open_source(tmp_path / "a.h5")


def test_what_is_not_read_does_not_matter(tmp_path):
    """Of an array source only its images and labels are."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = IMAGES, [0, 1, 0, 1]
        file["mine"] = h5py.SoftLink("/mine")
        file["other"] = h5py.ExternalLink("/etc/hostname", "/")
        layout = h5py.VirtualLayout((9, 5), "f4")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", (9, 5))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("odd", shape=4, dtype=[("a", "f4"), ("b", h5py.ref_dtype)])
        deep = file
        for _ in range(hdf5_walk.MOST_DEPTH + 1):
            deep = deep.create_group("g")
    with open_source(path) as source:
        assert np.array_equal(source.read(3), IMAGES[3])
