"""Ways to spoil the third of some shards, given their paths and those of another file."""

import os
import shutil


def missing(shards, other):
    shards[2].unlink()


def cut(shards, other):
    os.truncate(shards[2], shards[2].stat().st_size // 2)


def swapped(shards, other):
    content = shards[2].read_bytes(), shards[3].read_bytes()
    for path, data in zip(shards[2:], reversed(content), strict=True):
        path.write_bytes(data)


def of_another_recipe(shards, other):
    shutil.copy(other[2], shards[2])


def no_hdf5(shards, other):
    shards[2].write_bytes(b"x" * shards[2].stat().st_size)


def an_index(shards, other):
    index = other[0].parent.with_suffix("")
    data = index.read_bytes()
    size = shards[2].stat().st_size
    shards[2].write_bytes(data[:size] + bytes(max(0, size - len(data))))
