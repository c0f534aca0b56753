import io
import random
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from features.decoding import MAX_PIXELS, RejectedImage, decode, fit
from tests.features.pictures import encode, png, solid, tiff

RED, WHITE = (255, 0, 0), (255, 255, 255)


def first_pixel(content):
    image = decode(content)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def lab_red():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(solid((200, 30, 40)), srgb, lab, outputMode="LAB")


def palette_image():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 200, 30, 40])
    return image


def premultiplied_grey_alpha():
    plain = encode(solid((100, 128), mode="LA"), "TIFF")
    extra = struct.pack("<HHIH", 338, 3, 1, 2)
    assert extra in plain
    return plain.replace(extra, struct.pack("<HHIH", 338, 3, 1, 1))


LOSSLESS = [
    ("PNG", encode(solid((1, 2, 3))), (1, 2, 3)),
    ("WebP", encode(solid((1, 2, 3)), "WEBP", lossless=True), (1, 2, 3)),
    ("BMP", encode(solid((1, 2, 3)), "BMP"), (1, 2, 3)),
    ("DIB", encode(solid((1, 2, 3)), "DIB"), (1, 2, 3)),
    ("TIFF", encode(solid((1, 2, 3)), "TIFF", compression="tiff_lzw"), (1, 2, 3)),
    ("GIF", encode(palette_image(), "GIF"), (200, 30, 40)),
    ("grey", encode(solid(77, mode="L")), (77, 77, 77)),
    ("1 bit", encode(solid(1, mode="1")), WHITE),
    ("palette", encode(palette_image()), (200, 30, 40)),
    ("palette, one colour transparent", encode(palette_image(), transparency=1), WHITE),
    ("palette, half transparent", encode(palette_image(), transparency=b"\xff\x80"), (227, 142, 147)),
    ("GIF, transparent", encode(palette_image(), "GIF", transparency=1), WHITE),
    ("grey and alpha", encode(solid((100, 128), mode="LA")), (177, 177, 177)),
    ("grey and premultiplied alpha", premultiplied_grey_alpha(), (227, 227, 227)),
    ("alpha", encode(solid((255, 0, 0, 128), mode="RGBA")), (255, 127, 127)),
    ("alpha, opaque", encode(solid((9, 8, 7, 255), mode="RGBA"), "TIFF"), (9, 8, 7)),
    ("alpha, transparent", encode(solid((9, 8, 7, 0), mode="RGBA"), "WEBP", lossless=True), WHITE),
    ("palette and alpha", encode(solid((9, 8, 7, 0), mode="RGBA").convert("PA"), "TIFF"), WHITE),
    ("colour key", png(1, 1, 8, 2, b"\0\1\2\3", struct.pack(">3H", 1, 2, 3)), WHITE),
    ("colour key, another colour", png(1, 1, 8, 2, b"\0\1\2\4", struct.pack(">3H", 1, 2, 3)), (1, 2, 4)),
    ("grey key", png(1, 1, 8, 0, b"\0\7", struct.pack(">H", 7)), WHITE),
    ("grey 16", png(1, 1, 16, 0, b"\0" + struct.pack(">H", 0xAB12)), (0xAB,) * 3),
    ("grey 16, key", png(1, 1, 16, 0, b"\0\xab\x12", b"\xab\x12"), WHITE),
    ("grey 16, another key", png(1, 1, 16, 0, b"\0\xab\x12", b"\xab\x13"), (0xAB,) * 3),
    ("colour 16", png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 0x1234, 0xAB00, 0xFFFF)), (18, 171, 255)),
    ("colour 16, key", png(1, 1, 16, 2, b"\0\x12\x34\xab\0\xff\xff", b"\x12\x34\xab\0\xff\xff"), WHITE),
    ("colour and alpha 16", png(1, 1, 16, 6, b"\0\x12\x34\xab\0\xff\xff\0\0"), WHITE),
    ("grey 16 TIFF", encode(Image.fromarray(np.full((2, 2), 0xAB12, np.uint16)), "TIFF"), (0xAB,) * 3),
    ("grey 16 TIFF, white is zero", tiff(1, 1, 16, 0, struct.pack("<H", 0xAB12)), (255 - 0xAB,) * 3),
    ("grey 12 TIFF", tiff(2, 1, 12, 1, b"\xab\xc1\x23"), (0xAB,) * 3),
    ("CMYK TIFF", encode(solid((0, 255, 255, 0), mode="CMYK"), "TIFF"), RED),
    ("LAB TIFF", encode(lab_red(), "TIFF"), (200, 28, 39)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"), [case[1:] for case in LOSSLESS], ids=[case[0] for case in LOSSLESS]
)
def test_every_kind_of_pixel_becomes_rgb(content, expected):
    assert first_pixel(content) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid((200, 30, 40)), (200, 30, 40)),
        (solid(99, mode="L"), (99, 99, 99)),
        (solid((0, 255, 255, 0), mode="CMYK"), RED),  # stored inverted, as Adobe does
        (solid((76, 85, 255), mode="YCbCr"), RED),
    ],
    ids=["colour", "grey", "CMYK", "YCbCr"],
)
def test_jpeg_colours(image, expected):
    found = first_pixel(encode(image, "JPEG", quality=100))
    assert np.abs(np.subtract(found, expected)).max() <= 3


CORNERS = {1: "nw", 2: "ne", 3: "se", 4: "sw", 5: "nw", 6: "ne", 7: "se", 8: "sw"}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_exif_orientation(orientation, image_format):
    image = solid((0, 0, 255), (48, 32))
    image.paste(RED, (0, 0, 16, 16))  # the first stored corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(encode(image, image_format, exif=exif))
    assert upright.size == ((48, 32) if orientation < 5 else (32, 48))
    right, bottom = upright.width - 5, upright.height - 5
    places = {"nw": (4, 4), "ne": (right, 4), "se": (right, bottom), "sw": (4, bottom)}
    red = {
        corner
        for corner, place in places.items()
        if np.abs(np.subtract(upright.getpixel(place), RED)).max() < 30
    }
    assert red == {CORNERS[orientation]}


def test_damaged_exif_does_not_cost_the_image():
    content = encode(solid(RED), "PNG", exif=b"Exif\0\0garbage")
    assert first_pixel(content) == RED


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_first_frame_counts(image_format):
    options = {"lossless": True} if image_format == "WEBP" else {}
    frames = [solid((0, 0, 255))] * 2
    content = encode(solid(RED), image_format, save_all=True, append_images=frames, **options)
    assert Image.open(io.BytesIO(content)).n_frames > 1
    assert first_pixel(content) == RED


ARRAYS = [
    (np.full((2, 3), 7, np.uint8), (7, 7, 7)),
    (np.full((2, 3, 1), 7, np.uint8), (7, 7, 7)),
    (np.full((2, 3, 3), (1, 2, 3), np.uint8), (1, 2, 3)),
    (np.full((2, 3, 4), (255, 0, 0, 128), np.uint8), (255, 127, 127)),
    (np.full((2, 3), 0xAB12, np.uint16), (0xAB,) * 3),
    (np.full((2, 3), 0xAB12, ">u2"), (0xAB,) * 3),
    (np.full((2, 3, 3), (0x0100, 0x0200, 0x03FF), np.uint16), (1, 2, 3)),
    (np.full((3, 2, 3), (1, 2, 3), np.uint8).transpose(1, 0, 2), (1, 2, 3)),
]


@pytest.mark.parametrize(("pixels", "expected"), ARRAYS)
def test_arrays(pixels, expected):
    assert decode(pixels).size == (3, 2)
    assert first_pixel(pixels) == expected


BROKEN = [
    (b"", "empty"),
    (b"not an image at all", "not a JPEG"),
    (b"P7 1 1 255 abc", "not a JPEG"),
    (encode(solid(RED, (200, 200)), "JPEG")[:700], "truncated"),
    (encode(solid(RED, (200, 200)), "PNG")[:100], "cannot be decoded"),
    (encode(solid(RED), "WEBP")[:20], "cannot be decoded"),
    (encode(solid(1 << 20, mode="I"), "TIFF"), "32 bits"),
    (encode(solid(0.5, mode="F"), "TIFF"), "convert it to 8 or 16 bits"),
    (np.zeros((2, 2, 3), np.float32), "float32"),
    (np.zeros((2, 2, 5), np.uint8), "cannot be decoded"),
    (np.zeros((2,), np.uint8), "shape"),
]


@pytest.mark.parametrize(("content", "reason"), BROKEN)
def test_broken_images_are_rejected_with_one_short_line(content, reason):
    with pytest.raises(RejectedImage, match=reason) as error:
        decode(content)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 150
    assert " at 0x" not in str(error.value)


def test_a_bomb_is_rejected_before_it_is_decoded():
    bomb = png(40_000, 40_000, 1, 0, (b"\0" + bytes(5000)) * 40_000)
    assert len(bomb) < 400_000
    with pytest.raises(RejectedImage, match="40000 x 40000 pixels"):
        decode(bomb)


def test_a_large_image_below_the_limit_is_decoded_without_a_warning():
    content = png(10_000, 9_000, 1, 0, (b"\0" + bytes(1250)) * 9_000)
    assert Image.MAX_IMAGE_PIXELS < 10_000 * 9_000 < MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(content).size == (10_000, 9_000)


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it found
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_nothing_but_rejection_comes_of_damaged_bytes(image_format):
    noise = Image.effect_noise((24, 16), 90).convert("RGB")
    whole = encode(noise, image_format)
    chance = random.Random(image_format)
    for _ in range(150):
        content = bytearray(
            whole[: chance.randrange(len(whole)) if chance.random() < 0.3 else None]
        )
        for _ in range(chance.randrange(1, 6)):
            if content:
                content[chance.randrange(min(len(content), 200))] = chance.randrange(256)
        try:
            assert decode(bytes(content)).mode == "RGB"
        except RejectedImage:
            pass


def ramp(width, height):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, rows * 0], axis=2).astype(np.uint8)


def test_fit_leaves_an_image_of_the_right_size_alone():
    pixels = ramp(20, 10)
    for resize in ("stretch", "crop"):
        assert np.array_equal(fit(decode(pixels), (10, 20), resize, "lanczos"), pixels)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_stretch_is_what_pillow_makes_of_the_whole_image(interpolation):
    image = decode(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    expected = image.resize((12, 16), Image.Resampling[interpolation.upper()])
    found = fit(image, (16, 12), "stretch", interpolation)
    assert found.shape == (16, 12, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize(
    ("given", "size", "columns", "rows"),
    [
        ((200, 100), (50, 50), (50, 150), (0, 100)),
        ((100, 200), (50, 50), (0, 100), (50, 150)),
        ((200, 100), (50, 25), (75, 125), (0, 100)),  # a tall target: sides go
        ((100, 200), (25, 50), (0, 100), (75, 125)),
        ((40, 20), (80, 80), (10, 30), (0, 20)),  # enlarged
    ],
)
def test_crop_takes_the_largest_centred_part(given, size, columns, rows):
    found = fit(decode(ramp(*given)), size, "crop", "bilinear").astype(int)
    assert found.shape == (*size, 3)
    step = (columns[1] - columns[0]) / size[1]
    assert abs(found[0, 0, 0] - (columns[0] + step / 2 - 0.5)) <= 1
    assert abs(found[0, -1, 0] - (columns[1] - step / 2 - 0.5)) <= 1
    assert abs(found[0, 0, 1] - (rows[0] + step / 2 - 0.5)) <= 1
    assert abs(found[-1, 0, 1] - (rows[1] - step / 2 - 0.5)) <= 1


@pytest.mark.parametrize("given", [(29, 30), (30, 29), (225, 375), (375, 225)])
def test_crop_takes_an_image_whose_section_is_rounded_to_more_than_all_of_it(given):
    assert fit(decode(ramp(*given)), (224, 224), "crop", "bilinear").shape == (224, 224, 3)


def test_crop_equals_scaling_the_short_side_and_cropping():
    image = decode(np.random.default_rng(1).integers(0, 256, (100, 200, 3), dtype=np.uint8))
    scaled = image.resize((100, 50), Image.Resampling.BILINEAR).crop((25, 0, 75, 50))
    found = fit(image, (50, 50), "crop", "bilinear")
    assert np.array_equal(found, np.asarray(scaled))


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [
        ((1000, 750), None, (1000, 750)),
        ((1000, 750), 448, (1000, 750)),
        ((1000, 750), 375, (500, 375)),
        ((1000, 752), 188, (250, 188)),
        ((1000, 752), 10, (125, 94)),
    ],
)
def test_jpegs_are_decoded_at_a_reduced_scale_that_is_large_enough(size, at_least, expected):
    content = encode(solid((10, 200, 30), size=size), "JPEG")
    image = decode(content, at_least)
    assert image.size == expected
    assert np.abs(np.asarray(image, int) - (10, 200, 30)).max() <= 3


def test_reduced_decoding_leaves_what_resizing_shows():
    """A smooth picture at 96 x 96, from all of its 800 x 800 pixels and from a quarter of them."""
    y, x = np.mgrid[:800, :800]
    pixels = np.stack([x * 255 / 800, y * 255 / 800, (np.sin(x / 40) + 1) * 127], -1)
    content = encode(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=95)
    exact, reduced = (
        fit(decode(content, at_least), (96, 96), "stretch", "bilinear").astype(int)
        for at_least in (None, 192)
    )
    assert decode(content, 192).size == (200, 200)
    assert 0 < np.abs(exact - reduced).mean() < 2


def test_png_is_always_decoded_whole():
    assert decode(encode(solid((1, 2, 3), size=(400, 400))), 10).size == (400, 400)
