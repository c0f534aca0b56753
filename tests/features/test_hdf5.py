"""Texts in feature files: whatever they are, they come back, and none is of variable length."""

import json
from dataclasses import replace

import h5py
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.errors import DataError
from features.storage.hdf5 import encoded
from features.storage.row_blocks import REASON_CHARACTERS, shortened
from features.storage.schema import content
from features.storage.store import FeatureFile
from tests.features.examples import attributes, plain, recipe, rows, write

ODD = ["", "  a  ", "猫" * 1000, "a\nb,c", "\ufeffé", "e\u0301", "🐈‍⬛", "x" * 5000]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=20))
@example(ODD)
@settings(max_examples=25, deadline=None)
def test_texts_come_back_as_they_were(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("texts") / "x.h5"
    count = len(texts)
    block = replace(rows(0, count, 0), ids=texts, extra={"note": texts[::-1]})
    block = replace(block, rejected=[(text, text) for text in texts])
    write(path, [block], attributes(recipe()))
    with FeatureFile(path) as file:
        assert file.ids == texts
        assert file.column("note").tolist() == texts[::-1]
        assert file.rejected == [(text, text) for text in texts]
        assert not any("has changed" in problem for problem in file.problems())


def test_blocks_with_texts_of_other_lengths(tmp_path):
    """And digests of content do not tell how wide the dataset was that held it."""
    ids = [["a", "b"], [], ["cccccc", "é"], ["x" * 3000]]
    blocks = [replace(rows(0, len(block_ids)), ids=block_ids, extra={}) for block_ids in ids]
    write(tmp_path / "x.h5", blocks, attributes(recipe()))
    with FeatureFile(tmp_path / "x.h5") as file:
        assert file.ids == [name for block_ids in ids for name in block_ids]
        assert not any("changed" in problem for problem in file.problems())
    joined = b"".join(content(encoded(block_ids)) for block_ids in ids)
    assert joined == content(encoded([name for block_ids in ids for name in block_ids]))
    assert content(encoded(["ab", "c"])) != content(encoded(["a", "bc"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["a", "b\0", "c", "d"]},
        {"extra": {"note": ["a", "b", "c\0c", "d"]}},
        {"rejected": [("bad", "no\0")]},
    ],
)
def test_a_nul_in_a_text_is_refused(tmp_path, changes):
    with pytest.raises(DataError, match="contains a NUL") as caught:
        write(tmp_path / "x.h5", [plain(**changes)], attributes(recipe()))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.h5").exists()


def test_longer_texts_than_announced_are_an_error(tmp_path):
    widths = plain().size.widths | {"images/id": 3}
    with pytest.raises(DataError, match="images/id gets texts of more than 3 bytes"):
        write(tmp_path / "x.h5", [plain()], attributes(recipe()), widths=widths)


def test_reasons_are_cut_and_can_be_stored():
    assert shortened("x" * 1000) == "x" * REASON_CHARACTERS
    assert shortened("a\0b \udcff") == "a\\0b \\udcff"
    assert shortened("truncated") == "truncated"


def everything_in(path):
    """Every type in a file: of datasets and of attributes, wherever they are."""
    types = {}

    def keep(name, item):
        types.update({(name, key): item.attrs.get_id(key).get_type() for key in item.attrs})
        if isinstance(item, h5py.Dataset):
            types[name] = item.id.get_type()

    with h5py.File(path) as file:
        keep("/", file)
        file.visititems(keep)
    return types


def test_nothing_is_of_variable_length(tmp_path):
    path = tmp_path / "x.h5"
    write(path, [rows(0, 4, 1), rows(4, 3)], attributes(recipe()))
    types = everything_in(path)
    assert {"images/id", "rejected/reason", "images/column/patient", ("/", "recipe")} < set(types)
    for place, stored in types.items():
        assert not isinstance(stored, h5py.h5t.TypeVlenID), place
        if isinstance(stored, h5py.h5t.TypeStringID):
            assert not stored.is_variable_str(), place
            assert h5py.check_string_dtype(stored.dtype).length is not None
            assert h5py.check_string_dtype(stored.dtype).encoding == "utf-8"
        else:
            known = (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)
            assert isinstance(stored, known), place
    assert b"GCOL" not in path.read_bytes(), "HDF5's global heap begins so"


def test_class_names_beyond_the_usual_size_of_an_attribute(tmp_path):
    names = tuple(f"{n} 猫 {'x' * 40}" for n in range(10_000))
    more = attributes(recipe()) | {"class_names": json.dumps(names), "provenance": ""}
    write(tmp_path / "x.h5", [plain()], more)
    with FeatureFile(tmp_path / "x.h5") as file:
        assert file.class_names == names
        assert file.attributes["provenance"] == ""
        assert not any("attribute" in problem for problem in file.problems())
    assert b"GCOL" not in (tmp_path / "x.h5").read_bytes()


def test_a_long_text_costs_little(tmp_path):
    ids = [f"{n:06}.png" for n in range(999)] + ["x" * 4000]
    block = replace(rows(0, 1000), ids=ids, extra={})
    write(tmp_path / "x.h5", [block], attributes(recipe()))
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["images/id"].id.get_storage_size() < 100_000, "of 4,000,000"
