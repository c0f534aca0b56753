"""Damaged images are rejected or counted; broken metadata costs no pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from features.decoding import RejectedImage, decode
from features.decoding.jpeg import DAMAGED, UNCHECKED
from tests.features.pictures import encode


def picture(width=96, height=64):
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 60, (height, width))
    pixels = np.stack([x * 2 + noise, y * 3, (x * y) % 200 + noise], -1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


JPEGS = {
    "baseline": {"quality": 90},
    "progressive": {"progressive": True},
    "without subsampling": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
}


def pillow(content, mode="RGB"):
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


@pytest.mark.parametrize("at_least", [None, 200, 100, 40])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_jpegs_are_what_pillow_makes_of_them(options, mode, at_least):
    content = encode(picture(501, 333).convert(mode), "JPEG", **options)
    image = Image.open(io.BytesIO(content))
    if at_least:
        image.draft(None, (at_least, at_least))
    notes = []
    assert np.array_equal(decode(content, at_least, notes=notes), image.convert("RGB"))
    assert notes == []


def cut(content):
    return content[: len(content) // 2]


def cut_and_closed(content):
    return cut(content) + b"\xff\xd9"


def hole(content):
    start = len(content) // 2
    return content[:start] + bytes(400) + content[start + 400 :]


def lost_bytes(content):
    start = len(content) // 2
    return content[:start] + content[start + 300 :]


@pytest.mark.parametrize("damage", [cut, cut_and_closed, hole, lost_bytes])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_damaged_jpegs_are_rejected_or_taken_and_counted(options, damage):
    content = damage(encode(picture(300, 200), "JPEG", **options))
    notes = []
    with pytest.raises(RejectedImage, match="damaged or truncated: "):
        decode(content, notes=notes)
    assert notes == []
    assert decode(content, accept_damaged=True, notes=notes).size == (300, 200)
    assert notes == [DAMAGED]


def test_bytes_around_a_whole_jpeg_cost_nothing():
    content = encode(picture(), "JPEG")
    expected = pillow(content)
    for odd in (
        content[:-2],  # the end mark alone is missing
        content[:-2] + bytes(4) + content[-2:],  # padding, as some cameras write it
        content + b"appended",
    ):
        notes = []
        assert np.array_equal(decode(odd, notes=notes), expected)
        assert notes == []


def test_a_jpeg_with_a_wrong_header_is_taken_and_said_to_be_unchecked():
    content = encode(picture(), "JPEG")
    scan = content.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(content[scan + 2 : scan + 4])
    odd = content[: end - 3] + b"\x00\x00\x00" + content[end:]  # as some cameras write it
    notes = []
    assert np.array_equal(decode(odd, notes=notes), pillow(content))
    assert notes == [UNCHECKED]


def test_a_jpeg_of_a_rare_subsampling_is_what_pillow_makes_of_it():
    content = encode(picture(48, 48), "JPEG", subsampling=0)
    start = content.index(b"\xff\xc0") + 11
    odd = content[:start] + b"\x13" + content[start + 1 :]  # of the luma: 1 x 3
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(odd)
    notes = []
    assert np.array_equal(decode(odd, notes=notes), pillow(odd))
    assert notes == [UNCHECKED]


def test_a_jpeg_whose_scans_would_take_minutes_is_rejected():
    content = encode(picture(), "JPEG", progressive=True)
    start = content.index(b"\xff\xc2")
    sides = struct.pack(">2H", 12_000, 12_000)
    content = content[: start + 5] + sides + content[start + 9 :] + b"\xff\xda" * 40
    with pytest.raises(RejectedImage, match=r"scans of 12000 x 12000 pixels"):
        decode(content)


def test_a_jpeg_above_the_pixel_limit_is_decoded_at_a_scale_below_it():
    flat = encode(Image.new("L", (16_000, 12_000), 77), "JPEG")
    image = decode(flat, 448)
    assert image.size == (2000, 1500)
    assert image.getpixel((1000, 750)) == (77, 77, 77)
    with pytest.raises(RejectedImage, match="16000 x 12000 pixels"):
        decode(flat)


def chunk(name, data, checksum=None):
    checksum = zlib.crc32(name + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


PLAIN = encode(picture())
BROKEN_CHUNKS = {
    "checksum of a private one": chunk(b"prVt", b"abc", 7),
    "checksum of a text": chunk(b"tEXt", b"a\0b", 7),
    "short gamma": chunk(b"gAMA", b"\0"),
    "short physical size": chunk(b"pHYs", b"\0" * 3),
    "huge text": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000))),
    "huge profile": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(70_000_000))),
    "transparency of another length": chunk(b"tRNS", b"\0"),
    "no profile": chunk(b"iCCP", b""),
}


@pytest.mark.parametrize("broken", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_broken_or_huge_metadata_of_a_png_costs_nothing(broken):
    content = PLAIN[:33] + broken + PLAIN[33:]
    assert np.array_equal(decode(content), picture())


@pytest.mark.parametrize(
    "broken", [b"\xff\xe2\x00\x02", b"\xff\xee\x00\x05Ado", b"\xff\xe1\x00\x03E"]
)
def test_broken_metadata_of_a_jpeg_costs_nothing(broken):
    content = encode(picture(), "JPEG")
    assert np.array_equal(decode(content[:2] + broken + content[2:]), pillow(content))


def test_a_hole_in_the_pixels_of_a_png_is_damage():
    start = PLAIN.index(b"IDAT") + 500
    with pytest.raises(RejectedImage, match="damaged: the checksum of its chunk b'IDAT'"):
        decode(PLAIN[:start] + bytes(9) + PLAIN[start + 9 :])


def test_the_metadata_of_a_png_that_turns_it_stays():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(picture(), exif=exif)
    turned = decode(content[:33] + chunk(b"tEXt", b"a\0b", 7) + content[33:])
    assert turned.size == (64, 96)
