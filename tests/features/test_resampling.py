"""Numba's resampling is Pillow's, to the bit, and Pillow takes what it cannot have."""

import platform
from importlib import util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from features.decoding import decode, fit, fit_for, fitting, resizing
from features.extraction.loading import load
from features.sources import open_source
from tests.features.pictures import encode

numba = pytest.importorskip("numba")
if platform.machine() not in ("x86_64", "AMD64"):
    pytest.skip("Pillow resamples on other processors", allow_module_level=True)

from features.decoding import resampling  # noqa: E402 - it needs Numba

SIDES = st.integers(1, 90)


def noise(width, height, seed=0):
    """Pixels of full contrast, where weights that are negative leave the range."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    pixels[rng.random((height, width)) < 0.5] //= 128
    pixels[pixels == 1] = 255
    return Image.fromarray(pixels)


@pytest.fixture(autouse=True)
def fresh():
    fitting._fastest.cache_clear()
    resampling.order_of_pillow.cache_clear()
    yield
    fitting._fastest.cache_clear()
    resampling.order_of_pillow.cache_clear()


@pytest.fixture
def only_numba(monkeypatch):
    """Fail where an image is left to Pillow."""
    assert resampling.order_of_pillow()
    monkeypatch.setattr(resizing, "fit", None)


def assert_same(image, size, resize, interpolation):
    assert resampling.order_of_pillow() is not None
    expected = fit(image, size, resize, interpolation)
    found = resampling.fit(image, size, resize, interpolation)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["stretch", "crop"])
@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_sizes_of_every_kind_are_resampled_as_by_pillow(
    interpolation, resize, width, height, new_width, new_height
):
    assert_same(noise(width, height), (new_height, new_width), resize, interpolation)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (333, 500), (1600, 1200), (32, 32)])
def test_photos_at_the_size_of_networks_are_resampled_as_by_pillow(
    size, interpolation, only_numba, monkeypatch
):
    image = noise(*size)
    found = resampling.fit(image, (224, 224), "stretch", interpolation)
    monkeypatch.undo()
    assert np.array_equal(found, fit(image, (224, 224), "stretch", interpolation))


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 5])
def test_columns_come_before_rows_where_pillow_has_it_so(lost):
    """Pillow 13 compares twice the columns that go, here two, with the rows that go."""
    for columns in (-2, 0, 2):
        assert_same(noise(50, 60), (60 - lost, 50 - columns), "stretch", "bilinear")


@pytest.mark.parametrize("order", [resampling._rows_first, resampling._tall_columns_first])
def test_the_order_of_either_pillow_is_found(order, monkeypatch):
    def of_that_pillow(image, size, resize, interpolation):
        pixels = resampling._shared(image)
        return resampling._resampled(pixels, size, resize, interpolation, order)

    monkeypatch.setattr(resizing, "fit", of_that_pillow)
    assert resampling.order_of_pillow() is order


@pytest.mark.parametrize("interpolation", ["lanczos", "nearest"])
def test_other_interpolations_are_left_to_pillow(interpolation):
    assert_same(noise(60, 40), (20, 30), "crop", interpolation)


def test_images_whose_memory_is_in_pieces_or_that_are_very_long_are_left_to_pillow():
    large = Image.new("RGB", (2400, 2200), (10, 20, 30))
    assert resampling._shared(large) is None
    assert_same(large, (16, 16), "stretch", "bilinear")
    assert_same(noise(2**14 + 1, 2), (4, 4), "stretch", "bilinear")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_decoded_images_of_every_mode_are_resampled_as_by_pillow(mode):
    image = noise(70, 50).convert(mode)
    content = encode(image, "TIFF")
    assert_same(decode(content), (24, 24), "crop", "bilinear")


def test_a_pillow_that_resamples_otherwise_resamples_all_images(monkeypatch, caplog):
    monkeypatch.setattr(resizing, "fit", lambda image, size, *_: np.zeros((*size, 3), np.uint8))
    assert fit_for(10**6) is fit
    assert "in a way that is not known" in caplog.text
    assert not resampling.fit(noise(9, 9), (4, 4), "stretch", "bilinear").any()


def test_a_numba_that_fails_leaves_all_images_to_pillow(monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no locator\navailable")

    monkeypatch.setattr(resampling, "_resampled", fail)
    assert fit_for(10**6) is fit
    assert "as Numba cannot: no locator available" in caplog.text


def test_few_images_and_machines_without_numba_are_left_to_pillow(monkeypatch):
    assert fit_for(10) is fit
    assert fit_for(10**6) is resampling.fit
    for change in (
        lambda: monkeypatch.setattr(platform, "machine", lambda: "arm64"),
        lambda: monkeypatch.setattr(fitting, "find_spec", lambda name: None),
    ):
        fitting._fastest.cache_clear()
        change()
        assert fit_for(10**6) is fit
        monkeypatch.undo()
    assert util.find_spec("numba")


def test_loaded_batches_do_not_depend_on_numba(tmp_path, monkeypatch):
    for number in range(12):
        image = noise(60 + number, 90 - 5 * number, seed=number)
        (tmp_path / f"{number:02}.jpg").write_bytes(encode(image, "JPEG"))
    made = []

    def counting(*arguments):
        made.append(arguments)
        return resampling.fit(*arguments)

    def pixels():
        with open_source(tmp_path) as source:
            return np.concatenate([b.pixels for b in load(source, (32, 32), "crop", "bicubic", 4)])

    by_pillow = pixels()
    monkeypatch.setattr("features.extraction.loading.fit_for", lambda images: counting)
    assert np.array_equal(pixels(), by_pillow)
    assert len(made) == 12
