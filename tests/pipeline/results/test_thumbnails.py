"""Images behind features: found by id, checked, made small; what is lost is told."""

import io
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from features.records import blake2b
from features.sources import open_source
from features.storage.row_blocks import Rows
from pipeline.results import thumbnails as pictures
from pipeline.results.thumbnails import CHANGED, ImageLookup, Thumbnails
from tests.features.examples import attributes, recipe, write
from tests.features.pictures import encode, solid
from tests.features.sources.builders import BUILDERS, IMAGES, files, write_files, write_zip
from tests.pipeline.featurefiles import write_features

COLOURS = dict(sorted(IMAGES.items()))


def features(path, source, ids=None):
    """Write a feature file of a source's images, as `extract` does, with their true digests."""
    with open_source(source) as images:
        records = [record for record in images if ids is None or record.id in ids]
        contents = [images.read(record.index) for record in records]
    raw = [one if isinstance(one, bytes) else one.tobytes() for one in contents]
    rows = Rows(
        {"a": np.zeros((len(records), 4), np.float32)},
        [record.id for record in records],
        np.stack([np.frombuffer(blake2b(one), np.uint8) for one in raw]),
        np.array([record.label for record in records], np.int32),
        np.array([record.split for record in records], np.uint8),
        [],
    )
    provenance = {"provenance": json.dumps({"source": str(source)})}
    write(path, [rows], attributes(recipe(layers=("a",))) | provenance)
    return path, rows.ids


def opened(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def near(pixel, colour, by=6) -> bool:
    return max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= by


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_of_source(kind, tmp_path):
    source = BUILDERS[kind][1](tmp_path)
    path, ids = features(tmp_path / "f.features", source)
    found = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert not found.lost
    assert list(found.encoded) == ids
    with open_source(source) as images:
        for record in images:
            image = opened(found.encoded[record.id])
            assert image.size == (8, 6)  # their own size: smaller than a thumbnail
            content = images.read(record.index)
            true = content if isinstance(content, np.ndarray) else np.asarray(opened(content))
            assert near(image.getpixel((4, 3)), true[3, 4].tolist())


def test_by_id_where_the_features_are_of_a_few_images(tmp_path):
    source = BUILDERS["npz"][1](tmp_path)
    path, ids = features(tmp_path / "f.features", source, ids={"0000001", "0000004"})
    found = pictures.thumbnails(ImageLookup.of_features(path), ids[::-1])
    assert set(found.encoded) == {"0000001", "0000004"}
    colours = list(COLOURS.values())
    assert near(opened(found.encoded["0000004"]).getpixel((2, 2)), colours[4])


def test_large_ones_keep_their_proportions(tmp_path):
    source = write_files(tmp_path / "s", {"a/wide.png": encode(solid("red", (400, 100)))})
    path, ids = features(tmp_path / "f.h5", source)
    found = pictures.thumbnails(ImageLookup.of_features(path), ids, side=48)
    assert opened(found.encoded["a/wide.png"]).size == (48, 12)
    assert found.uri("a/wide.png").startswith("data:image/webp;base64,UklGR")
    assert Thumbnails({}, {}).uri("a/wide.png") is None


def test_moved(tmp_path):
    source = write_files(tmp_path / "s", files())
    path, ids = features(tmp_path / "f.h5", source)
    source.rename(tmp_path / "elsewhere")
    gone = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert not gone.encoded
    assert set(gone.lost) == set(ids)
    assert len(set(gone.lost.values())) == 1
    assert f"there is nothing at {source}" in gone.lost[ids[0]]
    again = pictures.thumbnails(ImageLookup.of_features(path, tmp_path / "elsewhere"), ids)
    assert set(again.encoded) == set(ids)


def test_lost_changed_and_broken_ones_are_told_and_the_others_shown(tmp_path):
    source = write_files(tmp_path / "s", files())
    path, ids = features(tmp_path / "f.h5", source)
    (source / ids[0]).unlink()
    (source / ids[1]).write_bytes(encode(solid("white")))
    found = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert set(found.encoded) == set(ids[2:])
    assert found.lost == {ids[0]: f"is not in {source} any more", ids[1]: CHANGED}


def test_what_cannot_be_read_or_decoded_is_told(tmp_path):
    source = write_files(tmp_path / "s", {"a/x.png": b"no image", **files()})
    (source / "a/y.png").symlink_to("nowhere.png")
    found = pictures.thumbnails(ImageLookup(source, {}), ["a/x.png", "a/y.png", "train/cat/b.png"])
    assert (
        found.lost["a/x.png"]
        == "not a JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, AVIF, JPEG 2000 or HEIC file"
    )
    assert found.lost["a/y.png"].startswith(("cannot be read", "is not in"))
    assert set(found.encoded) == {"train/cat/b.png"}


def test_a_damaged_archive(tmp_path):
    source = write_zip(tmp_path / "a.zip", files())
    path, ids = features(tmp_path / "f.h5", source)
    content = bytearray(source.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    source.write_bytes(content)
    found = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert found.lost
    assert all("cannot be read: damaged in the archive" in why for why in found.lost.values())
    source.write_bytes(b"PK, but no zip")
    found = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert set(found.lost) == set(ids)


def test_arrays_with_other_pixels_have_changed(tmp_path):
    source = BUILDERS["hdf5"][1](tmp_path)
    path, ids = features(tmp_path / "f.features", source)
    with h5py.File(source, "r+") as file:
        file["images"][2] = 255
    found = pictures.thumbnails(ImageLookup.of_features(path), ids)
    assert found.lost == {ids[2]: CHANGED}


def test_a_source_that_nobody_knows(tmp_path):
    path = write_features(tmp_path / "f.h5", np.zeros((2, 3), np.float32), [0, 1])
    origin = ImageLookup.of_features(path)
    assert origin.location is None
    found = pictures.thumbnails(origin, ["00000.png"])
    assert found.lost == {"00000.png": pictures.UNKNOWN}


def test_without_digests_images_are_taken_as_they_are(tmp_path):
    source = write_files(tmp_path / "s", files())
    found = pictures.thumbnails(ImageLookup(source, {}), [*COLOURS, *COLOURS])
    assert list(found.encoded) == list(COLOURS)


def test_sprites(tmp_path):
    colours = {f"a/{n:02d}.png": (n * 73 % 256, n * 151 % 256, 8 * n) for n in range(30)}
    contents = {
        name: encode(solid(colour, (10 + n % 3, 7))) for n, (name, colour) in enumerate(colours.items())
    }  # fmt: skip
    source = write_zip(tmp_path / "a.zip", contents)
    ids = [*reversed(colours), "a/99.png"]
    made = pictures.sprites(ImageLookup(source, {}), ids, sheet=40)
    assert (made.side, made.across, len(made.sheets)) == (12, 3, 4)
    assert made.lost == {"a/99.png": f"is not in {source} any more"}
    assert made.cells[-1] == -1 and not made.sizes[-1].any()
    assert sorted(made.cells[:-1]) == list(range(30))
    sheets = [opened(sheet) for sheet in made.sheets]
    assert [sheet.size for sheet in sheets] == [(36, 36)] * 3 + [(36, 12)]
    for image, cell, size in zip(ids[:-1], made.cells, made.sizes, strict=False):
        number, within = divmod(int(cell), made.across**2)
        left, top = within % made.across * made.side, within // made.across * made.side
        assert near(sheets[number].getpixel((left + 4, top + 3)), colours[image], by=20)
        assert tuple(size) == opened(contents[image]).size


def test_sprites_of_nothing(tmp_path):
    made = pictures.sprites(ImageLookup(tmp_path / "nowhere", {}), ["a", "b"])
    assert made.sheets == ()
    assert made.cells.tolist() == [-1, -1]
    assert json.dumps(made.lost).count("there is nothing at") == 2


def test_summary():
    lost = {f"{n}.png": "gone" for n in range(2000)} | {"x.png": CHANGED}
    assert pictures.summary(lost, 5000) == [
        "not shown: 2,000 of 5,000 images (such as 0.png, 1.png, 2.png): gone",
        f"not shown: 1 of 5,000 images (x.png): {CHANGED}",
    ]
    assert pictures.summary({}, 5000) == []
