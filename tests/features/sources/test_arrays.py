import json

import h5py
import numpy as np
import pytest

from features.errors import DataError
from features.sources import open_source
from features.sources.contents import digest_contents
from features.storage.hdf5_chunks import ChunkedArray

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (600, 4, 5, 3), dtype=np.uint8)


def write_npz(path, arrays):
    np.savez(path, **arrays)


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if name == "class_names":
                file.attrs[name] = json.dumps(list(values))
            else:
                file[name] = values


EVERY = pytest.mark.parametrize(("suffix", "write"), [("npz", write_npz), ("h5", write_hdf5)])


def opened(tmp_path, suffix, write, arrays):
    write(tmp_path / f"a.{suffix}", arrays)
    return open_source(tmp_path / f"a.{suffix}")


@EVERY
def test_records(suffix, write, tmp_path):
    labels = np.arange(600).reshape(600, 1) % 3
    arrays = {"images": IMAGES, "labels": labels, "split": np.arange(600) % 4,
              "class_names": np.array(["ä", "b", "猫"])}  # fmt: skip
    with opened(tmp_path, suffix, write, arrays) as source:
        assert len(source) == 600
        assert source.class_names == ("ä", "b", "猫")
        assert [source[index].id for index in (0, 41, 599)] == ["0000000", "0000041", "0000599"]
        assert [(source[i].label, int(source[i].split)) for i in (0, 1, 5)] == [
            (0, 0),
            (1, 1),
            (2, 1),
        ]
        assert all(np.array_equal(source.read(index), IMAGES[index]) for index in range(600))


@EVERY
@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("data", "labels")])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 4), np.uint8), ((3, 4, 1), np.uint16), ((3, 4, 4), np.uint8), ((3, 4, 3), ">u2")],
)
def test_names_shapes_and_dtypes(suffix, write, names, shape, dtype, tmp_path):
    images = RANDOM.integers(0, np.iinfo(dtype).max + 1, (5, *shape)).astype(dtype)
    arrays = dict(zip(names, (images, np.arange(5, dtype=np.int8)), strict=True))
    with opened(tmp_path, suffix, write, arrays) as source:
        assert source.class_names == ("0", "1", "2", "3", "4")
        assert [record.label for record in source] == [0, 1, 2, 3, 4]
        assert source.read(3).shape == shape
        assert np.array_equal(source.read(3), images[3])


@EVERY
def test_splits_as_keras_names_them(suffix, write, tmp_path):
    arrays = {"x_test": IMAGES[500:], "y_test": np.full((100, 1), 7), "x_train": IMAGES[:500],
              "y_train": np.full(500, 3)}  # fmt: skip
    with opened(tmp_path, suffix, write, arrays) as source:
        assert [int(source[index].split) for index in (0, 499, 500, 599)] == [1, 1, 3, 3]
        assert [source[index].label for index in (0, 499, 500, 599)] == [0, 0, 1, 1]
        assert source.class_names == ("3", "7")
        assert all(np.array_equal(source.read(index), IMAGES[index]) for index in range(600))


@EVERY
def test_without_labels(suffix, write, tmp_path):
    with opened(tmp_path, suffix, write, {"images": IMAGES}) as source:
        assert {record.label for record in source} == {-1}
        assert source.class_names == ()
    arrays = {"images": IMAGES, "labels": np.where(np.arange(600) < 5, -1, 9)}
    with opened(tmp_path, suffix, write, arrays) as source:
        assert {record.label for record in source} == {-1, 0}
        assert source.class_names == ("9",)


BAD = {
    "no images": ({"labels": np.zeros(3, int)}, "no array of images, expected one called images"),
    "floats": (
        {"images": np.zeros((3, 4, 4, 3), np.float32)},
        r"images is float32, expected uint8.*\.astype\('uint8'\)",
    ),
    "signed": ({"images": np.zeros((3, 4, 4), np.int64)}, "images is int64, expected uint8"),
    "channels first": (
        {"images": np.zeros((3, 3, 8, 8), np.uint8)}, "move the channels to the end",
    ),
    "flat rows": ({"images": np.zeros((3, 12), np.uint8)}, r"has shape \(3, 12\), expected"),
    "no pixels": ({"images": np.zeros((3, 0, 4), np.uint8)}, "images without pixels"),
    "labels too few": (
        {"images": IMAGES, "labels": np.zeros(3, int)}, r"shape \(3,\), expected .*\(600,\)",
    ),
    "one-hot labels": ({"images": IMAGES, "labels": np.zeros((600, 10), int)}, "expected integers"),
    "labels are floats": ({"images": IMAGES, "labels": np.zeros(600)}, "labels is float64"),
    "negative labels": ({"images": IMAGES, "labels": np.full(600, -2)}, "label -2, expected 0"),
    "label without a name": (
        {"images": IMAGES, "labels": np.full(600, 2), "class_names": np.array(["a", "b"])},
        "label 2, but class_names has 2 names",
    ),
    "split": (
        {"images": IMAGES, "split": np.full(600, 4)}, "expected 0 none, 1 train, 2 validation",
    ),
}  # fmt: skip


@EVERY
@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told(suffix, write, name, tmp_path):
    arrays, message = BAD[name]
    with pytest.raises(DataError, match=message) as error:
        opened(tmp_path, suffix, write, arrays)
    assert str(error.value).startswith(str(tmp_path / f"a.{suffix}"))


@EVERY
def test_no_rows(suffix, write, tmp_path):
    with pytest.raises(DataError, match="no images found"):
        opened(tmp_path, suffix, write, {"images": IMAGES[:0], "labels": np.zeros(0, int)})


def test_python_objects_in_npz_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="Python objects, which are not read"):
        open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=IMAGES, class_names=np.array([1, 2]))
    with pytest.raises(DataError, match="class_names is int64, expected a list of strings"):
        open_source(tmp_path / "b.npz")


def feature_file(file, folder):
    file.create_group("features")["fc"] = np.zeros((3, 8), np.float32)
    file.create_group("images")["id"] = [b"a", b"b", b"c"]


def soft_link(file, folder):
    file["real"] = IMAGES
    file["images"] = h5py.SoftLink("/real")


def external_link(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["images"] = IMAGES
    file["images"] = h5py.ExternalLink("other.h5", "/images")


def external_storage(file, folder):
    (folder / "raw").write_bytes(IMAGES.tobytes())
    external = [(str(folder / "raw"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("images", IMAGES.shape, "u1", external=external)


def virtual(file, folder):
    external_link(file, folder)
    del file["images"]
    layout = h5py.VirtualLayout(IMAGES.shape, "u1")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "images", IMAGES.shape)
    file.create_virtual_dataset("images", layout)


def group(file, folder):
    file.create_group("images")


def objects(file, folder):
    file.create_dataset("images", (3,), h5py.vlen_dtype(np.uint8))


def class_names(file, folder):
    file["images"] = IMAGES
    file.attrs["class_names"] = "cat, dog"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (feature_file, "is a feature file, expected images"),
        (soft_link, "images is a link"),
        (external_link, "images is a link"),
        (external_storage, "images lies in another file"),
        (virtual, "images lies in another file"),
        (group, "images is a group"),
        (objects, "images is object, expected uint8"),
        (class_names, "attribute class_names is 'cat, dog'"),
    ],
)
def test_hdf5_files_that_are_not_taken(build, message, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        build(file, tmp_path)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "a.h5")
    (tmp_path / "a.h5").unlink()  # nothing holds it open
    with h5py.File(tmp_path / "a.h5", "w"):
        pass


def test_a_damaged_chunk_costs_its_images_alone(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "images", data=IMAGES, chunks=(10, 4, 5, 3), compression="gzip"
        )
        chunk = images.id.get_chunk_info(20)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with open_source(path) as source:
        fingerprint = source.fingerprint()
        for index in (0, 199, 210, 599):
            assert np.array_equal(source.read(index), IMAGES[index])
        for index in (200, 205, 209):
            with pytest.raises(OSError, match="damaged in the file") as error:
                source.read(index)
            assert str(tmp_path) not in str(error.value)
        assert source.fingerprint() == fingerprint


@EVERY
@pytest.mark.parametrize("image", [0, 1, len(IMAGES) // 2, len(IMAGES) - 1])
def test_digests_see_every_pixel_and_so_does_the_fingerprint_of_what_is_held(
    suffix, write, tmp_path, image
):
    def seen(images):
        with opened(tmp_path, suffix, write, {"images": images}) as source:
            return source.fingerprint(), digest_contents(source, range(len(source)))

    changed = IMAGES.copy()
    changed[image, -1, 0, 0] ^= 1
    (fingerprint, digests), (other, others) = seen(IMAGES), seen(changed)
    assert np.flatnonzero((digests != others).any(axis=1)).tolist() == [image]
    assert (fingerprint != other) == (suffix == "npz")  # HDF5 is compared when it is read


def test_a_large_file_is_read_in_blocks(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (3000, 64, 64, 3), "u1", chunks=(85, 64, 64, 3))
        images[2999] = 7
    sizes = []
    plain = ChunkedArray.__getitem__

    def counted(array, rows):
        found = plain(array, rows)
        sizes.append(found.nbytes)
        return found

    monkeypatch.setattr(ChunkedArray, "__getitem__", counted)
    with open_source(path) as source:
        assert sizes == []
        assert source.read(2999).min() == 7
        assert not any(source.read(index).any() for index in range(1000))
    assert len(sizes) < 10
    assert max(sizes) < 5_000_000
