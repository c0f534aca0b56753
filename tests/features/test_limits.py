"""Images that claim or take more than any image does, and the memory that decoding takes."""

import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from features.config import ExtractConfig
from features.decoding import DecodingMemory, RejectedImage, decode, limits
from features.extraction import loading
from features.extraction.loading import load
from features.sources import open_source
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files, write_tar

SMALL = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))


def chunk(name, data):
    checksum = zlib.crc32(name + data)
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", checksum)


def png(width, height, *chunks):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def jpeg(**options):
    return encode(SMALL, "JPEG", **options)


def of_size(content, width, height):
    """Return a JPEG whose header claims another size."""
    spoiled = bytearray(content)
    start = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    struct.pack_into(">HH", spoiled, start + 5, height, width)
    return bytes(spoiled)


def sequential_scans(count):
    """Return a JPEG that is not progressive and decodes one colour again and again."""
    whole = jpeg()
    scan = whole.find(b"\xff\xda")
    return whole[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0" * count + b"\xff\xd9"


def tiff(*entries, tail=b""):
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + tail


def jpeg2000(tile):
    file = io.BytesIO()
    SMALL.save(file, "JPEG2000")
    content = bytearray(file.getvalue())
    start = content.find(b"\xff\x4f\xff\x51") + 24
    struct.pack_into(">II", content, start, tile, tile)
    return bytes(content)


GREY = [(256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
HOSTILE = {
    "one row": (png(2**21, 1), "more than 1,048,576 a side"),
    "one column": (png(1, 2**21), "more than 1,048,576 a side"),
    "progressive": (of_size(jpeg(progressive=True) + b"\xff\xda" * 40, 9000, 9000), "50 scans of"),
    "scans": (of_size(sequential_scans(50), 9000, 9000), "50 scans of 9000 x 9000 pixels"),
    "segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 10_001 + jpeg()[2:], "more than 10,000 segments"),
    "fill bytes": (b"\xff\xd8" + b"\xff" * 10_001 + jpeg()[2:], "more than 10,000 segments"),
    "chunks": (png(8, 8, chunk(b"tEXt", b"") * (2**18 + 1)), "more than 262,144 chunks"),
    "GIF": (b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe\1a\0" * 400_000, "more than 1,048,576 pieces"),
    "PPM": (b"P6 " + b"#\n" * 600_000 + b"1 1 255\nabc", "more than 1,048,576 pieces"),
    "plain PPM": (b"P3 99 99 255\n" + b"#\n" * 1001, r"too large for its kind \(ppm_plain\)"),
    "boxes": (
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 1_100_000,
        "more than 1,048,576 pieces",
    ),
    "tags": (tiff(*GREY, (273, 4, 2**22, 8)), "6 tags with 4,194,309 values"),
    "tile": (tiff(*GREY, (322, 4, 1, 2**15), (323, 4, 1, 2**15), (324, 4, 1, 8)), "32768 x 32768"),
    "WebP": (
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
        "pixels, more than|cannot be decoded",
    ),
    "tiles": (jpeg2000(1), "takes 0.0 GiB of memory, more than the 0.01"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_are_known_by_their_headers(name):
    content, reason = HOSTILE[name]
    memory = DecodingMemory(2**24)
    with pytest.raises(RejectedImage, match=reason), memory.turn() as take:
        decode(content, take=take)


@pytest.mark.parametrize("codec", ["ppm_plain", "bmp_rle"])
def test_what_is_decoded_in_python_is_small(monkeypatch, codec):
    runs = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, 0, 0, 0, 256, 0)
    bitmap = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + runs + bytes(1024) + b"\x08\1\0\0" * 8
    content = {"ppm_plain": b"P2 8 8 255\n" + b"1 " * 64, "bmp_rle": bitmap}[codec]
    assert decode(content).size == (8, 8)
    for bound in ((len(content) - 1, 64), (len(content), 63)):
        monkeypatch.setitem(limits._SLOW, codec, bound)
        with pytest.raises(RejectedImage, match="too large for its kind"):
            decode(content)


@pytest.mark.parametrize("magic", [b"P5", b"P6"])
@pytest.mark.parametrize("largest", [1, 100, 254, 1000, 4095, 65534, 65535])
def test_values_of_any_largest_are_scaled_as_pillow_does(magic, largest):
    bands = 3 if magic == b"P6" else 1
    dtype = ">u2" if largest > 255 else np.uint8
    top = min(np.iinfo(dtype).max, largest + 3)  # some are larger than the header says
    values = np.random.default_rng(0).integers(0, top + 1, 24 * bands).astype(dtype)
    content = magic + b" 6 4 %d\n" % largest + values.tobytes()
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image)
    if bands == 1 and largest > 255:
        expected = expected >> 8
    found = np.asarray(decode(content))
    assert np.array_equal(found, np.broadcast_to(expected.reshape(4, 6, bands), (4, 6, 3)))
    if largest != 65535 or bands == 3:
        with pytest.raises(RejectedImage, match="not enough image data"):
            decode(content[:-1])


def test_memory_is_waited_for():
    memory, order = DecodingMemory(100), []
    memory.take(60)

    def large():
        memory.take(50)
        order.append("large")
        memory.give_back(50)

    thread = threading.Thread(target=large)
    thread.start()
    memory.take(40)  # what is small goes on meanwhile
    memory.give_back(40)
    assert order == []
    memory.give_back(60)
    thread.join(10)
    assert order == ["large"]
    memory.take(1)
    memory.close()
    memory.take(1000)  # nobody waits any more


def test_what_fails_gives_its_memory_back():
    memory = DecodingMemory(100)
    with pytest.raises(KeyError), memory.turn() as take:
        take(100)
        raise KeyError
    with memory.turn() as take:
        take(100)
    with pytest.raises(RejectedImage, match="more than the"), memory.turn() as take:
        take(101)


def loaded(source, **options):
    return list(load(source, (8, 8), "stretch", "bilinear", 4, **options))


def test_an_image_beyond_the_memory_is_rejected_and_others_are_taken(tmp_path):
    large = encode(Image.new("RGB", (1000, 1000)))
    contents = {"a.png": large, **{f"b{n}.png": encode(solid((1, 2, 3))) for n in range(6)}}
    source = open_source(write_files(tmp_path, contents))
    outcomes = [
        outcome for batch in loaded(source, decode_memory=0.01) for outcome in batch.outcomes
    ]
    assert [outcome.reason is None for outcome in outcomes] == [False] + 6 * [True]
    assert outcomes[0].reason == (
        "decoding it takes 0.0 GiB of memory, more than the 0.01 GiB of decode-memory"
    )
    assert loaded(source, decode_memory=ExtractConfig.decode_memory)[0].outcomes[0].reason is None


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_contents_are_read_as_memory_allows(tmp_path, monkeypatch, name):
    pictures = {f"{n:02}.png": encode(SMALL) for n in range(30)}
    size = len(pictures["00.png"])
    monkeypatch.setattr(loading, "MAX_BYTES", 2 * size)
    mode = "w:gz" if name.endswith("gz") else "w"
    with open_source(write_tar(tmp_path / name, pictures, mode)) as source:
        taken, most = [0], [0]
        tried, give_back = loading._Job._tried, loading._Job.give_back

        def counted_read(job, read, index):
            taken[0] += 1
            most[0] = max(most[0], taken[0])
            return tried(job, read, index)

        def counted_back(job, index):
            taken[0] -= 1
            give_back(job, index)

        monkeypatch.setattr(loading._Job, "_tried", counted_read)
        monkeypatch.setattr(loading._Job, "give_back", counted_back)
        batches = loaded(source)
    assert sum(len(batch.accepted) for batch in batches) == 30
    assert most[0] <= 2
