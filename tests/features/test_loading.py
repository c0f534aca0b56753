import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.errors import DataError, UsageError
from features.extraction import loading
from features.extraction.loading import load
from features.processes import stopping
from features.records import Batch, ImageRecord, blake2b
from features.sources import open_source
from features.sources.base import Source
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files, write_tar, write_zip

SIZE = (6, 8)


class Scripted(Source):
    """Images made by a function of their index."""

    kind, location = "folder", Path()

    def __init__(self, count, content, sequential=False):
        self.count, self.content, self.sequential = count, content, sequential
        self.reads, self.readers = [], set()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return ImageRecord(index, str(index))

    def extent(self, index):
        return ""

    def read(self, index):
        self.reads.append(index)
        self.readers.add(threading.get_ident())
        return self.content(index)


def grey(index):
    return np.full((*SIZE, 3), index % 256, np.uint8)


@pytest.fixture
def use_threads(monkeypatch):
    """A function that sets how many threads decode; None takes one for each CPU."""

    def use(threads):
        if threads is not None:
            monkeypatch.setattr(loading, "available_cpus", lambda: threads)

    return use


def loaded(source, batch_size=4, **options) -> list[Batch]:
    return list(load(source, SIZE, "stretch", "bilinear", batch_size, **options))


def our_threads():
    return [t for t in threading.enumerate() if t.name.startswith(("decode", "read"))]


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_are_the_images_in_order(threads, sequential, prefetch, use_threads, monkeypatch):
    use_threads(threads)
    monkeypatch.setattr(loading, "PREFETCH", prefetch)

    def slow_at_times(index):
        time.sleep(0.002 * (index % 3))
        return grey(index)

    source = Scripted(10, slow_at_times, sequential)
    batches = loaded(source)
    assert [batch.start for batch in batches] == [0, 4, 8]
    assert [len(batch.outcomes) for batch in batches] == [4, 4, 2]
    assert [o.index for batch in batches for o in batch.outcomes] == list(range(10))
    assert all(batch.pixels.shape == (4, *SIZE, 3) for batch in batches)
    assert [int(row.max()) for batch in batches for row in batch.pixels] == [*range(10), 0, 0]
    assert batches[-1].accepted.tolist() == [0, 1]
    assert our_threads() == []


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(3, 9, [3, 7]), (8, None, [8]), (0, 4, [0]), (5, 99, [5, 9]), (10, None, []), (4, 4, [])],
)
def test_a_range_of_images(start, stop, expected):
    batches = loaded(Scripted(10, grey), start=start, stop=stop)
    assert [batch.start for batch in batches] == expected
    found = [outcome.index for batch in batches for outcome in batch.outcomes]
    assert found == list(range(start, min(stop or 10, 10)))


def test_digests_are_of_what_was_read():
    content = encode(solid((1, 2, 3)))
    (batch,) = loaded(Scripted(1, lambda index: content))
    assert batch.outcomes[0].digest == blake2b(content)
    (batch,) = loaded(Scripted(1, grey))
    assert batch.outcomes[0].digest == blake2b(grey(0).tobytes())


def test_what_cannot_be_read_or_decoded_is_an_outcome(tmp_path):
    good = encode(solid((9, 9, 9), (40, 30)), "JPEG")
    write_files(tmp_path, {"a.jpg": good, "b.jpg": good[:300], "c.jpg": b"", "d.jpg/x": b"",
                           "f.jpg": good})  # fmt: skip
    (tmp_path / "e.jpg").symlink_to("nowhere")
    (batch,) = loaded(open_source(tmp_path), 6)
    reasons = [outcome.reason for outcome in batch.outcomes]
    assert reasons[0] is reasons[5] is None
    assert "truncated" in reasons[1].lower()
    assert reasons[2] == "the file is empty"
    assert reasons[3] == "cannot be read: Is a directory"
    assert reasons[4] == "cannot be read: No such file or directory"
    digests = [outcome.digest for outcome in batch.outcomes]
    assert digests == [blake2b(good), blake2b(good[:300]), blake2b(b""), b"", b"", blake2b(good)]
    assert batch.accepted.tolist() == [0, 5]
    assert not batch.pixels[1:5].any()
    assert batch.pixels[0].all()
    assert batch.pixels[5].all()


def test_no_reason_has_a_path_in_it(tmp_path):
    write_tar(tmp_path / "a.tgz", {"a.jpg": b"junk"}, "w:gz")
    write_zip(tmp_path / "a.zip", {"a.jpg": b"junk", "b.jpg": encode(solid(0))})
    for name in ("a.tgz", "a.zip"):
        with open_source(tmp_path / name) as source:
            reasons = [o.reason for batch in loaded(source) for o in batch.outcomes if o.reason]
        assert reasons == [
            "not a JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, AVIF, JPEG 2000 or HEIC file"
        ]


def pictures(tmp_path):
    chance = np.random.default_rng(0)
    contents = {}
    for number in range(30):
        shape = (*chance.integers(20, 60, 2), 3)
        image = Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8))
        contents[f"{number:02}.jpg"] = encode(image, "JPEG") if number % 7 else b"broken"
    return contents


def test_the_number_of_threads_changes_nothing(tmp_path, use_threads):
    source, runs = open_source(write_files(tmp_path, pictures(tmp_path))), []
    for threads in (1, 2, 7):
        use_threads(threads)
        runs.append(list(load(source, (16, 16), "crop", "bicubic", 8)))
    for batch, other in zip(runs[0], runs[1], strict=True):
        assert batch.outcomes == other.outcomes
        assert np.array_equal(batch.pixels, other.pixels)
    assert [batch.outcomes for batch in runs[0]] == [batch.outcomes for batch in runs[2]]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(runs[0], runs[2], strict=True))
    assert sum(len(batch.accepted) for batch in runs[0]) == 25


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "folder"])
def test_every_way_of_reading_gives_the_same(name, tmp_path):
    contents, path = pictures(tmp_path), tmp_path / name
    if name == "folder":
        write_files(path, contents)
    elif name == "a.zip":
        write_zip(path, contents)
    else:
        write_tar(path, contents, "w:gz" if name.endswith("gz") else "w")
    with open_source(path) as source:
        batches = loaded(source, 8)
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    assert [outcome.digest for outcome in outcomes] == [blake2b(c) for c in contents.values()]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("sequential", [False, True])
def test_no_more_batches_are_under_way_than_promised(prefetch, sequential, monkeypatch):
    monkeypatch.setattr(loading, "PREFETCH", prefetch)
    source = Scripted(80, grey, sequential)
    most = 0
    for done, _ in enumerate(load(source, SIZE, "stretch", "nearest", 4)):
        time.sleep(0.01)  # long enough for the threads to go on if they may
        most = max(most, len(source.reads) - 4 * done)
    assert most == 4 * (prefetch + 1)
    assert len(source.reads) == 80


def test_sequential_sources_are_read_in_order_by_one_thread(use_threads):
    use_threads(4)
    source = Scripted(50, grey, sequential=True)
    loaded(source)
    assert source.reads == list(range(50))
    assert len(source.readers) == 1
    assert threading.get_ident() not in source.readers


def test_closing_early_ends_the_threads(use_threads):
    use_threads(3)

    def slow_later(index):
        time.sleep(0.02 * (index >= 100))
        return grey(index)

    source = Scripted(10_000, slow_later)
    batches = load(source, SIZE, "stretch", "bilinear", 100)
    assert next(batches).start == 0
    assert our_threads()
    started = time.monotonic()
    batches.close()
    assert our_threads() == []
    assert time.monotonic() - started < 0.4  # a thread's share of one batch alone takes 0.6
    assert len(source.reads) < 150


def test_an_image_that_is_decoded_for_ever_is_not_waited_for(monkeypatch):
    hanging, go_on = threading.Event(), threading.Event()

    def hang(index):
        if index >= 8:
            hanging.set()
            go_on.wait(60)
        return grey(index)

    monkeypatch.setattr(stopping, "GRACE", 0.05)
    batches = load(Scripted(100, hang), SIZE, "stretch", "bilinear", 4)
    assert next(batches).start == 0
    assert hanging.wait(60)
    batches.close()
    assert our_threads(), "they are still at work"
    go_on.set()
    for thread in our_threads():
        thread.join(60)
    assert our_threads() == []


@pytest.mark.parametrize("sequential", [False, True])
def test_an_error_in_a_thread_reaches_the_caller_and_ends_the_threads(sequential):
    def fail(index):
        if index == 5:
            raise MemoryError("no memory for 5")
        return grey(index)

    batches = load(Scripted(100, fail, sequential), SIZE, "stretch", "bilinear", 4)
    assert next(batches).start == 0
    with pytest.raises(MemoryError, match="no memory for 5"):
        next(batches)
    assert our_threads() == []


def test_a_source_that_vanishes_ends_the_run(tmp_path):
    contents = {f"{number:03}.png": encode(solid((9, 9, 9))) for number in range(200)}
    source = open_source(write_files(tmp_path / "images", contents))
    batches = load(source, SIZE, "stretch", "bilinear", 4)
    assert len(next(batches).accepted) == 4
    (tmp_path / "images").rename(tmp_path / "elsewhere")  # at once, unlike a removal
    with pytest.raises(DataError, match="images has vanished"):
        list(batches)


def test_one_file_that_goes_ends_the_run(tmp_path):
    contents = {f"{number}.png": encode(solid((9, 9, 9))) for number in range(3)}
    source = open_source(write_files(tmp_path / "images", contents))
    (tmp_path / "images/1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png has gone from .*images"):
        loaded(source)


def test_a_pattern_of_shards_has_not_vanished(tmp_path):
    contents = {"0.png": encode(solid((9, 9, 9))), "0.cls": b"x"}
    path = write_tar(tmp_path / "s-0.tar", contents)
    with open_source(tmp_path / "s-{0..0}.tar") as source:
        path.write_bytes(path.read_bytes()[:520])
        (batch,) = loaded(source)
    assert batch.outcomes[0].reason == "cannot be read: the archive ends within it"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "strech"}, "no resize is called 'strech'; did you mean stretch"),
        ({"interpolation": "area"}, "no interpolation is called 'area'"),
        ({"batch_size": 0}, "batch size 0"),
        ({"size": (0, 8)}, "size"),
        ({"start": -1}, "start -1"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(options, message):
    wanted = {"size": SIZE, "resize": "crop", "interpolation": "nearest", "batch_size": 4}
    source = Scripted(3, grey)
    with pytest.raises(UsageError, match=message):
        load(source, **{**wanted, **options})
    assert source.reads == []
