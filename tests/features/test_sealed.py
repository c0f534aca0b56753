"""Whatever changes in a folder of the cache is found before a byte of it is used."""

import json

import numpy as np
import pytest

from features.disk import sealed
from features.errors import DataError

NAMES = ("network.xml", "network.bin")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "network.xml").write_text('<output name="pool"/>' * 20)
    (tmp_path / "network.bin").write_bytes(rng.bytes(4000))
    sealed.write_note(tmp_path, "key")
    return tmp_path


def refused(folder):
    with pytest.raises(DataError) as caught:
        sealed.read_files(folder, "key", NAMES)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_what_is_whole_is_read(folder):
    assert [len(content) for content in sealed.read_files(folder, "key", NAMES)] == [420, 4000]
    with pytest.raises(DataError, match=r"note\.json in it has changed"):
        sealed.read_files(folder, "another key", NAMES)


@pytest.mark.parametrize("name", [*NAMES, sealed.NOTE])
def test_one_bit_in_each_of_many_bytes(folder, name):
    whole = (folder / name).read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(len(whole), size=60).tolist():
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(spoiled)
        refused(folder)
    spoiled = bytearray(whole)
    for place in rng.choice(len(whole), 20, replace=False):
        spoiled[place] ^= 1
    (folder / name).write_bytes(spoiled)
    refused(folder)


@pytest.mark.parametrize("name", [*NAMES, sealed.NOTE])
def test_cut_emptied_and_gone(folder, name):
    content = (folder / name).read_bytes()
    for part in (content[:-1], content[: len(content) // 2], b""):
        (folder / name).write_bytes(part)
        refused(folder)
    (folder / name).unlink()
    refused(folder)


def test_a_renamed_output_is_found(folder):
    path = folder / "network.xml"
    path.write_text(path.read_text().replace("pool", "evil"))
    assert refused(folder) == "network.xml in it has changed"


@pytest.mark.parametrize("field", ["key", "files", "seal"])
@pytest.mark.parametrize("value", [None, 7, [], {}, "x", ["key"], {"network.xml": None}])
def test_any_other_value_in_the_note(folder, field, value):
    path = folder / sealed.NOTE
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {field: value}))
    refused(folder)
    if field != "seal":  # also sealed as it should be
        rest = {name: note[name] for name in ("key", "files")} | {field: value}
        path.write_text(json.dumps(sealed.sealed(rest)))
        refused(folder)


@pytest.mark.parametrize("text", ["[" * 10**5, "null", "[]", '{"key": "key"}', "\ud800", "{"])
def test_what_is_no_note(folder, text):
    (folder / sealed.NOTE).write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(folder)
