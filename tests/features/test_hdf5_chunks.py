"""Compressed chunks are unpacked to what HDF5 reads, and damaged ones are told."""

import zlib

import h5py
import numpy as np
import pytest

from features.errors import DataError
from features.sources import open_source
from features.storage.hdf5_chunks import ChunkedArray

VALUES = np.random.default_rng(0).integers(0, 2**16, (11, 6, 5, 3), np.uint16)
SHUFFLED = {"compression": "gzip", "shuffle": True}
CHECKED = SHUFFLED | {"fletcher32": True}
MASK = np.arange(11) % 3 == 1
KEYS = [
    ..., 0, 10, -2, slice(0, 11), slice(3, 8), slice(9, 40), slice(4, 4), slice(None),
    slice(1, 10, 3), MASK, ~MASK, np.zeros(11, bool), np.array([1, 4, 5, 10]), [0, 7],
]  # fmt: skip


@pytest.mark.parametrize("chunks", [(1, 6, 5, 3), (4, 6, 5, 3), (4, 4, 2, 1), (3, 5, 5, 2)])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f8", "S3"])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, SHUFFLED, CHECKED])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_rows_are_those_that_hdf5_reads(tmp_path, chunks, dtype, options, libver):
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, userblock_size=512) as file:
        dataset = file.create_dataset(
            "a", VALUES.shape, dtype, chunks=chunks, **options,
            fillvalue=np.array(7).astype(dtype), maxshape=(None, 6, 5, 3),
        )  # fmt: skip
        dataset[2:9] = VALUES[2:9].astype(dtype)  # some chunks are never written
        file.flush()
        array = ChunkedArray(dataset)
        for key in KEYS:
            assert np.array_equal(array[key], dataset[...][key])
            assert array[key].dtype == dataset.dtype


@pytest.mark.parametrize("options", [{"compression": "gzip"}, SHUFFLED])
@pytest.mark.parametrize("content", [bytes(16), bytes(64), b""])
def test_a_chunk_of_another_size_costs_its_image_alone(tmp_path, options, content):
    """HDF5 reads beyond the end of what it has unpacked, and may crash."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("images", (4, 8, 4), "u1", chunks=(1, 8, 4), **options)
        dataset[:] = 5
        dataset.id.write_direct_chunk((1, 0, 0), zlib.compress(content))
    with open_source(path) as source:
        for index in (0, 2, 3):
            assert (source.read(index) == 5).all()
        with pytest.raises(OSError, match="damaged in the file"):
            source.read(1)


FILTERS = [{"fletcher32": True}, {"compression": "lzf"}, SHUFFLED | {"fletcher32": True}]


@pytest.mark.parametrize("options", FILTERS)
def test_other_filters(tmp_path, options):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=VALUES, chunks=(2, 6, 5, 3), **options)
        names = np.array(["é", "b"] * 5 + ["b"], object)
        file.create_dataset("labels", data=names, dtype=h5py.string_dtype(), compression="gzip")
    with open_source(path) as source:
        assert np.array_equal(source.read(7), VALUES[7])
        assert source.class_names == ("b", "é")


@pytest.mark.parametrize("options", [{"scaleoffset": 0}, {"compression": "szip"}])
def test_filters_that_are_not_read(tmp_path, options):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        try:
            file.create_dataset("images", data=VALUES, chunks=(2, 6, 5, 3), **options)
        except ValueError:
            pytest.skip("this HDF5 has no such filter")
    with pytest.raises(DataError, match="which is not read here; compress it with gzip"):
        open_source(path)


def test_texts_in_a_chunk_that_is_too_short(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["images"] = VALUES
        labels = file.create_dataset(
            "labels", 11, h5py.string_dtype(), chunks=(11,), compression="gzip"
        )
        labels[:] = "a"
        labels.id.write_direct_chunk((0,), zlib.compress(bytes(16)))
    with pytest.raises(DataError, match="/labels cannot be read: a chunk has another size"):
        open_source(path)


def test_a_checksum_that_differs(tmp_path):
    path = tmp_path / "a.h5"
    for length in (63, 64, 2**18 + 1):
        with h5py.File(path, "w") as file:
            values = np.random.default_rng(length).integers(0, 256, (3, length, 1), np.uint8)
            images = file.create_dataset(
                "images", data=values, chunks=(1, length, 1), fletcher32=True
            )
            images[2] = 0
            content = bytearray(images.id.read_direct_chunk((1, 0, 0))[1])
            content[5] ^= 1
            images.id.write_direct_chunk((1, 0, 0), bytes(content))
        with open_source(path) as source:
            assert np.array_equal(source.read(0), values[0])
            assert not source.read(2).any()
            with pytest.raises(OSError, match="damaged in the file"):
                source.read(1)


def test_an_index_that_leads_out_of_the_file_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        images = file.create_dataset("images", data=VALUES, chunks=(1, 6, 5, 3))
        chunk = images.id.get_chunk_info(5)
    content = path.read_bytes()
    address = np.array([chunk.byte_offset], "<u8").tobytes()
    assert content.count(address) == 1
    path.write_bytes(content.replace(address, np.array([2**40], "<u8").tobytes()))
    with pytest.raises(DataError, match="the chunks of /images do not lie where they should"):
        open_source(path)
