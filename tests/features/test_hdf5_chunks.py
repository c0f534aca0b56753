"""Compressed chunks are unpacked to what HDF5 reads, and damaged ones are told."""

import zlib

import h5py
import numpy as np
import pytest

from features.errors import DataError
from features.hdf5_chunks import ChunkedArray
from features.sources import open_source

VALUES = np.random.default_rng(0).integers(0, 2**16, (11, 6, 5, 3), np.uint16)
KEYS = [..., 0, 10, slice(0, 11), slice(3, 8), slice(9, 40), slice(4, 4), slice(None)]


@pytest.mark.parametrize("chunks", [(1, 6, 5, 3), (4, 6, 5, 3), (4, 4, 2, 1), (3, 5, 5, 2)])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f8", "S3"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_are_those_that_hdf5_reads(tmp_path, chunks, dtype, shuffle):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset(
            "a", VALUES.shape, dtype, chunks=chunks, compression="gzip", shuffle=shuffle,
            fillvalue=np.array(7).astype(dtype), maxshape=(None, 6, 5, 3),
        )  # fmt: skip
        dataset[2:9] = VALUES[2:9].astype(dtype)  # some chunks are never written
        array = ChunkedArray(dataset)
        for key in KEYS:
            assert np.array_equal(array[key], dataset[key])
            assert array[key].dtype == dataset.dtype


SHUFFLED = {"compression": "gzip", "shuffle": True}


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


@pytest.mark.parametrize("options", [{"fletcher32": True}, {"shuffle": True}])
def test_other_filters_are_tried_by_another_process(tmp_path, options):
    """Of a large chunk HDF5 reads so far beyond what it has that it crashes."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "images", (3, 4096, 4096), "u1", chunks=(1, 4096, 4096), **options
        )
        images[2] = 1
        small = file.create_dataset("other", data=np.zeros(64, "u1"), chunks=(64,), fletcher32=True)
        images.id.write_direct_chunk((1, 0, 0), small.id.read_direct_chunk((0,))[1])
    with pytest.raises(DataError, match="HDF5 crashes on it"):
        open_source(path)


def test_valid_files_with_other_filters_are_read(tmp_path):
    for number, options in enumerate([{"fletcher32": True}, {"compression": "lzf"}, SHUFFLED]):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=VALUES, chunks=(2, 6, 5, 3), **options)
        with open_source(path) as source:
            assert np.array_equal(source.read(7), VALUES[7])


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
