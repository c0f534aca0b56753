import threading
import time

import h5py
import numpy as np
import pytest

from features.disk import durable
from features.errors import DataError, UsageError
from features.storage.hdf5 import put_attributes
from features.storage.store import FeatureFile
from tests.features.examples import attributes, plain, recipe, rows, write

BLOCKS = [(0, 4, 0), (4, 0, 1), (5, 5, 1)]  # 9 rows, 2 rejected, one block without rows


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "features.h5"
    blocks = [rows(*block) for block in BLOCKS]
    write(path, blocks, attributes(recipe()))
    return path


def test_what_is_written_is_read(path):
    blocks = [rows(*block) for block in BLOCKS]
    with FeatureFile(path) as file:
        assert len(file) == 9
        assert file.layers == ("b", "a"), "in the recipe's order, not the alphabet's"
        for layer in ("a", "b"):
            expected = np.concatenate([block.features[layer] for block in blocks])
            np.testing.assert_array_equal(file.features(layer), expected)
            assert file.features(layer).dtype == np.float32
            np.testing.assert_array_equal(file.features(layer, slice(2, 5)), expected[2:5])
        assert file.ids == [name for block in blocks for name in block.ids]
        assert file.rejected == [pair for block in blocks for pair in block.rejected]
        for name in ("digests", "labels", "splits"):
            expected = np.concatenate([getattr(block, name) for block in blocks])
            np.testing.assert_array_equal(getattr(file, name), expected)
        assert file.columns == ("patient", "kamera å"), "in the manifest's order"
        for name in file.columns:
            expected = [text for block in blocks for text in block.extra[name]]
            assert file.column(name).tolist() == expected
        assert file.class_names == ("cat", "dog")
        assert file.recipe == recipe()
        assert file.problems() == []


def test_frame_has_a_row_an_image(path):
    with FeatureFile(path) as file:
        frame = file.frame("a")
        numbers = [f"f{n}" for n in range(5)]
        assert list(frame.columns) == ["label", "split", "patient", "kamera å", *numbers]
        assert frame["patient"].tolist() == file.column("patient").tolist()
        assert list(frame.index) == file.ids
        named = [None if label < 0 else file.class_names[label] for label in file.labels]
        assert [None if value != value else value for value in frame["label"]] == named
        np.testing.assert_array_equal(frame[["f0", "f4"]].to_numpy(), file.features("a")[:, [0, 4]])


def test_a_column_named_as_another_keeps_a_place_in_the_frame(tmp_path):
    write(tmp_path / "x.h5", [plain(extra={"f3": list("abcd")})], attributes(recipe()))
    with FeatureFile(tmp_path / "x.h5") as file:
        frame = file.frame("a")
        assert frame["f3 (manifest)"].tolist() == list("abcd")
        np.testing.assert_array_equal(frame["f3"].to_numpy(), file.features("a")[:, 3])


def test_a_file_without_further_columns(tmp_path):
    write(tmp_path / "x.h5", [plain()], attributes(recipe()))
    with FeatureFile(tmp_path / "x.h5") as file, pytest.raises(UsageError, match="no column"):
        assert file.columns == ()
        file.column("patient")


def test_unknown_column_is_named_with_the_nearest(path):
    with FeatureFile(path) as file:
        assert file.column("patient").dtype == object
        with pytest.raises(UsageError, match="'patents'; did you mean patient"):
            file.column("patents")


def test_schema_1_is_refused_in_one_line(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 1
        file.attrs["recipe"] = "of variable length"
    with pytest.raises(DataError) as caught:
        FeatureFile(path)
    message = "features.h5 was written by Offshelf before 0.2 (its schema is 1, this version reads 2); extract its images again"
    assert str(caught.value).endswith(message)


def test_all_images_rejected(tmp_path):
    write(tmp_path / "x.h5", [rows(0, 0, 3)], attributes(recipe()))
    with FeatureFile(tmp_path / "x.h5") as file:
        assert (len(file), len(file.rejected), file.features().shape) == (0, 3, (0, 5))


@pytest.mark.parametrize("counts", [{"images": 8, "rejected": 2}, {"images": 10, "rejected": 2}])
def test_a_wrong_number_of_rows_is_an_error(tmp_path, counts):
    with pytest.raises(DataError, match="rows"):
        write(tmp_path / "x.h5", [rows(*b) for b in BLOCKS], attributes(recipe()), counts=counts)


def test_hdf5_writes_where_no_signal_is_raised(tmp_path, monkeypatch):
    """An exception in the middle of it, such as Ctrl-C in the main thread, would crash it."""
    threads = set()

    class Noting(durable.Disk):
        def write(self, file, data):
            threads.add(threading.current_thread())
            return super().write(file, data)

    monkeypatch.setattr(durable, "disk", Noting())
    write(tmp_path / "x.h5", [rows(0, 4, 0)], attributes(recipe()))
    assert threads
    assert threading.main_thread() not in threads


def test_unknown_layer_is_named_with_the_nearest(path):
    with FeatureFile(path) as file, pytest.raises(UsageError, match="no layer in this file"):
        file.features("block9")


def _change(name):
    def change(file):
        values = file[name][:]
        values.flat[0] = "other" if values.dtype.kind == "S" else values.flat[0] + 1
        file[name][...] = values

    return change


def _not_finite(file):
    file["features/a"][0, 0] = np.nan


def _same_id_twice(file):
    file["images/id"][1] = file["images/id"][0]


def _other_recipe(file):
    put_attributes(file, {"recipe": recipe(pooling="max").to_json()})


def _no_recipe(file):
    del file.attrs["recipe"]


def _attribute(name, value):
    def change(file):
        put_attributes(file, {name: value})

    return change


def _variable_attribute(file):
    file.attrs["provenance"] = "mine"


def _other_order(file):
    names = list(file["images/column"])
    columns = file.create_group("other", track_order=True)
    for name in reversed(names):
        file.move(f"images/column/{name}", f"other/{name}")
    del file["images/column"]
    file.move("other", "images/column")
    assert list(columns) == names[::-1]


def _rename_layer(file):
    file.move("features/a", "features/c")


def _same_bytes_in_another_order(file):
    values, digest = file["features/a"][:], file["features/a"].attrs["digest"]
    del file["features/a"]
    file["features/a"] = values.view(">f4")
    file["features/a"].attrs["digest"] = digest


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_change("features/a"), "/features/a has changed"),
        (_change("features/b"), "/features/b has changed"),
        (_change("images/id"), "/images/id has changed"),
        (_change("images/digest"), "/images/digest has changed"),
        (_change("images/split"), "/images/split has changed"),
        (_change("images/label"), "/images/label has changed"),
        (_change("rejected/reason"), "/rejected/reason has changed"),
        (_change("images/column/patient"), "/images/column/patient has changed"),
        (_other_order, "an attribute, or the shape or type of a dataset"),
        (lambda file: file.pop("images/column"), "an attribute, or the shape or type"),
        (_not_finite, "not finite"),
        (_same_id_twice, "more than once"),
        (_other_recipe, "does not match its digest"),
        (_no_recipe, "cannot be read"),
        (_attribute("class_names", '["dog", "cat"]'), "an attribute"),
        (_attribute("provenance", "mine"), "an attribute"),
        (_attribute("complete", False), "an attribute"),
        (_attribute("digest", "0" * 32), "an attribute"),
        (_rename_layer, "an attribute, or the shape or type of a dataset"),
        (_same_bytes_in_another_order, "an attribute, or the shape or type of a dataset"),
    ],
)
def test_changes_are_found(path, fault, message):
    with h5py.File(path, "r+") as file:
        fault(file)
    with FeatureFile(path) as file:
        assert any(message in problem for problem in file.problems())


def _replace(name, **new):
    def change(file):
        del file[name]
        file.create_dataset(name, **new)

    return change


def _link(name, link):
    def change(file):
        del file[name]
        file[name] = link

    return change


def _no_schema(file):
    del file.attrs["schema"]


def _circle(name):
    """A hard link to the root, from somewhere below it."""

    def change(file):
        del file[name]
        file[name] = file["/"]

    return change


def _external(file):
    del file["features/a"]
    file.create_dataset("features/a", (9, 5), "f4", external=[("/etc/hostname", 0, 180)])


def _virtual(file):
    layout = h5py.VirtualLayout((9, 5), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (9, 5))
    del file["features/a"]
    file.create_virtual_dataset("features/a", layout)


def _reference(file):
    file.attrs["recipe"] = file.ref


NUMBERS = np.arange(45, dtype=np.float32).reshape(9, 5)
TEXTS = np.array(["x"] * 9, h5py.string_dtype("utf-8", 3))
PACKED = {"chunks": True, "compression": "gzip"}
PAIR = np.dtype([("x", "f4"), ("y", "f4")])


@pytest.mark.parametrize(
    "fault",
    [
        _no_schema,
        _attribute("schema", 3),
        _attribute("schema", "2"),
        _attribute("schema", [1, 1]),
        _attribute("schema", h5py.Empty("i4")),
        _attribute("class_names", '{"cat": 0}'),
        _attribute("class_names", "[1, 2]"),
        _attribute("class_names", "[" * 100_000),
        _attribute("class_names", 7),
        _attribute("class_names", '["cat", "cat"]'),
        _attribute("complete", np.ones(3, bool)),
        _attribute("digest", h5py.Empty("f4")),
        _attribute("recipe", "[]"),
        _attribute("recipe", '{"layers": 5}'),
        _attribute("note", np.zeros(1, PAIR)),
        _variable_attribute,
        _reference,
        _link("features", h5py.ExternalLink("other.h5", "/features")),
        _link("features", h5py.SoftLink("/images")),
        _link("features/a", h5py.SoftLink("/images/digest")),
        _link("features/a", h5py.SoftLink("/features/a")),
        _link("images/id", h5py.ExternalLink("/etc/hostname", "/")),
        _link("features/a", np.dtype("f4")),
        _circle("features"),
        _circle("features/a"),
        _circle("images/id"),
        _external,
        _virtual,
        _replace("images/id", data=np.arange(9)),
        _replace("images/id", data=np.array([b"x"] * 9)),
        _replace("images/id", data=["x"] * 9, dtype=h5py.string_dtype()),
        _replace("images/id", data=["x"] * 9, dtype=h5py.string_dtype("ascii", 3)),
        _replace("images/id", shape=9, dtype=h5py.string_dtype("utf-8", 2**28), **PACKED),
        _replace("images/id", data=TEXTS, dtype=TEXTS.dtype, compression="lzf"),
        _replace("images/id", data=TEXTS, dtype=TEXTS.dtype, compression="gzip", fletcher32=True),
        _replace("images/label", data=np.zeros(9, np.int32), **PACKED),
        _replace("images/column/patient", data=["x"] * 9, dtype=h5py.string_dtype()),
        _replace("images/column/patient", data=np.arange(9)),
        _replace("images/column/patient", data=TEXTS[:8], dtype=TEXTS.dtype),
        _replace("images/column", data=np.arange(9)),
        _link("images/column", h5py.SoftLink("/features")),
        _link("images/column", h5py.ExternalLink("other.h5", "/")),
        _link("images/column/patient", h5py.SoftLink("/images/id")),
        _circle("images/column"),
        _circle("images/column/patient"),
        _replace("features/a", data=np.array([b"x"] * 9, dtype=object), dtype=h5py.string_dtype()),
        _replace("features/a", shape=(9, 5), dtype=h5py.vlen_dtype(np.float32)),
        _replace("features/a", shape=(9, 5), dtype=h5py.ref_dtype),
        _replace("features/a", data=np.zeros((9, 5), PAIR)),
        _replace("features/a", data=np.zeros((9, 5), np.dtype("V4"))),
        _replace("features/a", shape=(9, 5), dtype=np.dtype(("f4", (2,)))),
        _replace("features/a", data=np.zeros((9, 5), np.complex64)),
        _replace("features/a", data=np.zeros((9, 2), np.int32)),
        _replace("features/a", data=np.zeros(9, np.float32)),
        _replace("features/a", data=np.zeros((8, 2), np.float32)),
        _replace("features/a", data=np.float32(1)),
        _replace("features/a", data=h5py.Empty("f4")),
        _replace("features/a", shape=(9, 2**40), dtype="f4"),
        _replace("features/a", shape=(9, 2**40), dtype="f4", chunks=(1, 1024)),
        _replace("features/a", shape=(9, 2**20), dtype="f4", chunks=(9, 2**20), compression="gzip"),
        _replace("features/a", data=NUMBERS, compression="gzip"),
        _replace("features/a", data=NUMBERS, shuffle=True),
        _replace("features/a", data=NUMBERS, fletcher32=True),
        _replace("images/label", data=np.zeros(8, np.int32)),
        _replace("images/label", data=np.zeros((9, 1), np.int32)),
        _replace("images/digest", data=np.zeros((9, 8), np.uint8)),
        lambda file: file.pop("images/label"),
        lambda file: file.pop("rejected"),
        lambda file: [file.pop(f"features/{layer}") for layer in "ab"],
    ],
)
def test_hostile_structure_is_refused(path, fault):
    with h5py.File(path, "r+") as file:
        fault(file)
    with pytest.raises(DataError, match="is no feature file") as caught:
        FeatureFile(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("columns", [2**10, 2**28, 2**50])
def test_dimensions_beyond_the_file_are_refused(path, columns):
    """Written by hand: the dataset claims that all of it is stored."""
    with h5py.File(path, "r+") as file:
        _replace("features/a", data=NUMBERS)(file)
    data = path.read_bytes()
    for old, new in (((9, 5), (9, columns)), ((180,), (36 * columns,))):
        old, new = (np.array(numbers, "<u8").tobytes() for numbers in (old, new))
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    with pytest.raises(DataError, match="is no feature file"):
        FeatureFile(path)


def test_a_circle_elsewhere_leads_nobody_round(path):
    with h5py.File(path, "r+") as file:
        file["images/circle"] = file["/"]
    with FeatureFile(path) as file:
        assert file.problems() == []


@pytest.mark.parametrize("content", [b"", b"text, not HDF5", None])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        FeatureFile(path)
    assert "\n" not in str(caught.value)


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 50)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            FeatureFile(path)


def test_equal_rows_give_equal_bytes_at_any_time(tmp_path):
    """HDF5 would note when a group was made, to the second."""
    contents = []
    for name in ("one.h5", "two.h5"):
        write(tmp_path / name, [rows(0, 3)], attributes(recipe()))
        contents.append((tmp_path / name).read_bytes())
        time.sleep(1.1)
    assert contents[0] == contents[1]
