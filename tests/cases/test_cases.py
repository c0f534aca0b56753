"""Inputs that people meet, each with what is right; those beside it were read wrong in 0.2.0."""

import tarfile
import unicodedata
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pillow_heif
import pytest

from features.decoding import RejectedImage, decode, formats
from features.decoding.jpeg import DAMAGED
from features.errors import DataError, UsageError
from features.sources import open_source
from features.storage.store import FeatureFile
from tests.features.faults import stub
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files, write_tar, write_zip

INPUTS = Path(__file__).parent / "inputs"
NAMES = ("planar", "alpha", "metadata")


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(INPUTS / name) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def labels(source) -> dict[str, str]:
    return {record.id: source.class_names[record.label] for record in source}


@pytest.mark.parametrize("reads_heif", [False, True])
def test_files_are_what_their_bytes_are_and_the_rest_is_counted(reads_heif, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_reads_heif", lambda: reads_heif)
    source = open_source(unpacked("passed_over.tar", tmp_path))
    cats = {record.id.removeprefix("cat/") for record in source if record.id.startswith("cat/")}
    known = {"0.jpg", "1.jpg", "p.ppm", "a.avif", "j.jp2", "noext", "x.jpg_large", "y.jpg?w=200",
             "z.jpg "}  # fmt: skip
    assert cats == known | ({"IMG_1.HEIC"} if reads_heif else set())
    assert source.passed_over == {".jpg~": 2} | ({} if reads_heif else {".heic": 2})
    assert source.reading.classes == {"cat": len(cats), "dog": len(cats)}
    for record in source:
        if not record.id.endswith(".HEIC"):  # those here have no pixels
            assert decode(source.read(record.index)).size == (24, 24)


def test_heic_is_read_with_the_extra_and_named_without_it(tmp_path, monkeypatch):
    pillow_heif.register_heif_opener()
    content = encode(solid((200, 30, 40), (64, 48)), "HEIF", quality=95)
    assert formats.format_of(content[:132]) == "HEIF"
    assert np.abs(np.subtract(decode(content).getpixel((9, 9)), (200, 30, 40))).max() < 6
    write_files(tmp_path, {"a/1.jpg": content, "a/2.heic": content})
    assert len(open_source(tmp_path)) == 2
    monkeypatch.setattr(formats, "_reads_heif", lambda: False)
    source = open_source(tmp_path)
    assert source.passed_over == {".heic": 1}
    with pytest.raises(RejectedImage, match=r"HEIF is not read here; pip install"):
        decode(source.read(0))


def test_a_table_beside_images_without_labels_is_pointed_at(tmp_path):
    contents = {"1.png": b"", "labels.csv": b"file,label\n1.png,x\n"}
    (warning,) = open_source(write_files(tmp_path, contents)).reading.warnings
    assert warning.startswith("no image has a label, but labels.csv may hold some")


def test_a_file_of_another_kind_is_none_of_ours(tmp_path):
    raw = encode(solid((1, 2, 3)), "TIFF")
    contents = {"a.jpg": encode(solid((1, 2, 3)), "JPEG"), "a.nef": raw, "slide.svs": raw,
                "notes.md": b"BM", "x": b"P3 is the plan", "scan.dcm": bytes(128) + b"DICM",
                "dicom": bytes(128) + b"DICM", "empty": b"", "plain": raw}  # fmt: skip
    for source in (
        open_source(write_files(tmp_path / "folder", contents)),
        open_source(write_zip(tmp_path / "a.zip", contents)),
        open_source(write_tar(tmp_path / "a.tar", contents)),
        open_source(write_tar(tmp_path / "a.tgz", contents, "w:gz")),
    ):
        with source:
            assert sorted(record.id for record in source) == ["a.jpg", "plain"]
            assert source.passed_over == {
                ".nef": 1, ".svs": 1, ".md": 1, ".dcm": 1, "DICOM": 1, "without a suffix": 2,
            }  # fmt: skip


@pytest.mark.parametrize("name", ["winslash.zip", "wincsv/m.csv"])
def test_backslashes_are_separators(name):
    with open_source(INPUTS / "backslashes" / name) as source:
        prefix = "data/" if name.endswith(".zip") else ""
        assert labels(source) == {
            f"{prefix}{animal}/{number}.png": animal
            for animal in ("cat", "dog")
            for number in range(3)
        }
        assert all(decode(source.read(index)) for index in range(6))


def test_backslashes_of_single_lines_are_separators_where_the_file_is_found_so(tmp_path):
    write_files(tmp_path, {"a/1.png": b"1", "a/2.png": b"2", "m.csv": b"path\na/1.png\na\\2.png\n"})
    source = open_source(tmp_path / "m.csv")
    assert [record.id for record in source] == ["a/1.png", "a/2.png"]
    assert source.read(1) == b"2"


def pictures():
    for name in NAMES:
        for path in sorted((INPUTS / name).iterdir()):
            yield pytest.param(path, id=f"{name}/{path.name}")


@pytest.mark.parametrize("path", list(pictures()))
def test_odd_files_have_the_pixels_of_the_plain_one(path):
    """Planar TIFF of 16 bits, BMP without alpha in its fourth byte, broken and huge metadata."""
    found = np.asarray(decode(path.read_bytes()), float)
    plain = np.asarray(decode((path.parent / "b.png").read_bytes()), float)
    assert np.abs(found - plain).mean() < (4 if path.suffix == ".jpg" else 0.001)


def test_damaged_jpegs():
    for path in (INPUTS / "damaged").iterdir():
        notes = []
        assert decode(path.read_bytes(), accept_damaged=True, notes=notes).size == (480, 320)
        assert bool(notes) == path.name.startswith("a_")
        if notes:
            with pytest.raises(RejectedImage, match="damaged or truncated"):
                decode(path.read_bytes())


@pytest.mark.parametrize(("bits", "cast"), [(8, r"x\.astype"), (12, r"\(x >> 4\)\.astype")])
def test_words_that_hold_fewer_bits_are_refused_with_the_cast_to_make(bits, cast):
    with pytest.raises(DataError, match=rf"they have {bits} bits.*converted? .*by {cast}|{cast}"):
        open_source(INPUTS / "arrays" / f"u16_{bits}bit.npz")


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("arrays/images_label.npz", {"0": 2, "1": 2, "2": 2}),
        ("arrays/names_dataset.h5", {"cat": 2, "dog": 2, "owl": 2}),
        ("tars/wkeys.tar", {"1": 3}),
    ],
)
def test_labels_are_read_under_other_names(name, classes):
    with open_source(INPUTS / name) as source:
        assert source.reading.classes == classes


def test_arrays_as_medmnist_names_them(tmp_path):
    images = np.zeros((4, 8, 8, 3), np.uint8)
    arrays = {
        f"{split}_{content}": images if content == "images" else np.arange(4).reshape(4, 1) % 2
        for split in ("train", "val", "test")
        for content in ("images", "labels")
    }
    np.savez(tmp_path / "a.npz", **arrays, patient=np.arange(4))
    reading = open_source(tmp_path / "a.npz").reading
    assert reading.classes == {"0": 6, "1": 6}
    assert reading.splits == {"train": 4, "validation": 4, "test": 4}
    assert reading.not_read == ("arrays `patient`",)


def test_arrays_of_unknown_names_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=np.zeros((4, 8, 8), np.uint8), kinds=np.arange(4))
    with pytest.raises(DataError, match=r"pictures \(4, 8, 8\) uint8, kinds \(4,\) int64"):
        open_source(tmp_path / "a.npz")


def test_labels_that_are_names(tmp_path):
    images, names = np.zeros((3, 8, 8), np.uint8), np.array(["owl", "cat", ""])
    np.savez(tmp_path / "a.npz", images=images, labels=names)
    source = open_source(tmp_path / "a.npz")
    assert (source.labels.tolist(), source.class_names) == ([1, 0, -1], ("cat", "owl"))


def test_missing_labels_and_names_that_look_like_them():
    folder = INPUTS / "labels"
    assert open_source(folder / "pnan.parquet").reading.classes == {"1": 1, "2": 1, "10": 1}
    assert open_source(folder / "pnan.parquet").reading.unlabelled == 1
    assert open_source(folder / "floatlab.csv").class_names == ("1.0", "2.0", "10.0")
    warnings = open_source(folder / "nanlab.csv").reading.warnings
    for name in ("nan", "NaN", "None"):
        assert any(f"1 image is of a class called '{name}'" in warning for warning in warnings)


def test_names_are_compared_in_one_form_of_unicode(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != apart
    picture = encode(solid((1, 2, 3)))
    write_files(
        tmp_path / "split", {f"train/{composed}/0.png": picture, f"test/{apart}/0.png": picture}
    )
    assert open_source(tmp_path / "split").reading.classes == {composed: 2}
    table = f"path,label\n{composed}.png,x\n".encode()
    write_files(tmp_path / "table", {f"{apart}.png": picture, "m.csv": table})
    source = open_source(tmp_path / "table/m.csv")
    assert source.read(0) == picture
    source = open_source(write_zip(tmp_path / "a.zip", {f"{apart}.png": picture, "m.csv": table}))
    assert source.read(0) == picture


@pytest.mark.parametrize("name", ["concat.tar", "concat.tar.gz"])
def test_tars_joined_end_to_end_are_all_read(name):
    with open_source(INPUTS / "tars" / name) as source:
        assert source.reading.classes == {"c0": 3, "c1": 3}
        assert all(decode(source.read(index)) for index in range(6))
        assert (source.is_cut, source.reading.warnings) == (False, ())


def test_a_tar_that_was_cut_between_members_says_so():
    with open_source(INPUTS / "tars/trunc_boundary.tar") as source:
        assert source.is_cut
        assert source.reading.images == 2
        assert "has no end mark: it was cut" in source.reading.warnings[0]


def test_what_follows_the_end_of_a_tar_is_said(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"1"})
    path.write_bytes(path.read_bytes() + b"more" * 200)
    source = open_source(path)
    assert not source.is_cut
    assert "has other data after its end" in source.reading.warnings[0]


@pytest.mark.parametrize("name", ["withcsv", "withcsv.zip"])
def test_a_table_without_paths_is_no_manifest_and_a_wrapper_no_class(name):
    with open_source(INPUTS / "stray" / name) as source:
        assert source.reading.classes == {"cat": 3, "dog": 3}
        assert source.reading.not_read == ("pets/labels.csv",)
        assert source.reading.passed_over == {".csv": 1}


def test_folders_of_a_nas_are_hidden(tmp_path):
    source = open_source(unpacked("nas.tar", tmp_path))
    assert source.reading.classes == {"cat": 2, "dog": 2}
    assert source.passed_over == {}


def test_a_method_that_cannot_be_read_is_said_once():
    with pytest.raises(DataError, match="compressed by deflate64, which Python cannot read"):
        open_source(INPUTS / "deflate64.zip")


def test_a_segment_of_a_split_zip_is_said_to_be_one(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": b"1"})
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\5\6")
    content[end + 4 : end + 8] = b"\1\0\1\0"
    path.write_bytes(content)
    with pytest.raises(DataError, match="last segment of a split zip; join the segments first"):
        open_source(path)


@pytest.mark.parametrize("name", ["a.z01", "a.zip.001", "a.tar.002"])
def test_a_segment_of_any_split_archive_is_said_to_be_one(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match="segment of a split archive; join all segments"):
        open_source(tmp_path / name)


def test_where_there_are_no_images_the_kinds_of_files_are_named(tmp_path):
    write_files(tmp_path, {"a.dcm": b"", "b.dcm": b"", "c": b""})
    with pytest.raises(DataError, match=r"3 other files were ignored \(2 \.dcm, 1 without"):
        open_source(tmp_path)


def test_the_index_that_pandas_writes_and_spaces_around_paths(tmp_path):
    write_files(tmp_path, {"a.png": b"1", "b.png": b"2"})
    (tmp_path / "m.csv").write_text(",path,label,site\n0,a.png ,cat,x\n1, b.png,dog,y\n")
    source = open_source(tmp_path / "m.csv")
    assert labels(source) == {"a.png": "cat", "b.png": "dog"}
    assert source.columns == {"site": ["x", "y"]}
    assert [source.read(index) for index in range(2)] == [b"1", b"2"]


SPLIT_FOLDERS = [
    ("training_set", "test_set"),
    ("TrainImages", "TestImages"),
    ("train2017", "val2017"),
    ("trainset", "dev"),
]


@pytest.mark.parametrize("names", SPLIT_FOLDERS)
def test_folders_that_are_plainly_splits_are_read_as_splits(names, tmp_path):
    contents = {f"{split}/{animal}/0.png": b"" for split in names for animal in ("cat", "dog")}
    reading = open_source(write_files(tmp_path, contents)).reading
    assert reading.classes == {"cat": 2, "dog": 2}
    assert list(reading.splits.values()) == [2, 2]
    assert reading.warnings == ()


def test_folders_that_may_be_splits_are_warned_of(tmp_path):
    contents = {
        f"{split}/{number}.png": b"" for split in ("seg_train", "seg_test") for number in "12"
    }
    reading = open_source(write_files(tmp_path, contents)).reading
    assert reading.classes == {"seg_test": 2, "seg_train": 2}
    (warning,) = reading.warnings
    assert "--splits test=seg_test,train=seg_train" in warning


def test_splits_that_hold_a_folder_of_their_own_name(tmp_path):
    contents = {
        f"{split}/{split}/{animal}/0.png": b"" for split in ("train", "test") for animal in "ab"
    }
    assert open_source(write_files(tmp_path, contents)).class_names == ("a", "b")


ODD_NAMES = ["line\nbreak.png", "tab\t.png", "\x1b[31mred.png", "\u202egnp.png", "x" * 240 + ".png"]


def test_names_that_a_terminal_would_obey_are_ids(tmp_path):
    contents = {f"cat/{name}": encode(solid((1, 2, 3))) for name in ODD_NAMES}
    for source in (
        open_source(write_files(tmp_path / "folder", contents)),
        open_source(write_zip(tmp_path / "a.zip", contents)),
        open_source(write_tar(tmp_path / "a.tar", contents)),
    ):
        with source:
            assert [record.id for record in source] == sorted(contents)
            assert all(decode(source.read(index)) for index in range(len(contents)))
            assert source.reading.sentence().isprintable()


def test_rejected_images_of_such_names_are_told_in_one_line(tmp_path):
    write_files(tmp_path / "images", {f"{number}\n\x1b[31m.png": b"" for number in range(3)})
    with pytest.raises(DataError, match=r"such as 0\\n\\x1b\[31m\.png, 1") as error:
        stub.extract(tmp_path / "images", tmp_path / "out.h5")
    assert str(error.value).isprintable()


def test_a_cut_archive_fails_after_everything_else_was_written(tmp_path):
    out = tmp_path / "out.h5"
    with pytest.raises(DataError, match="was cut, so images may be missing; those that it has"):
        stub.extract(INPUTS / "tars/trunc_boundary.tar", out)
    with FeatureFile(out) as file:
        assert (len(file), file.problems()) == (2, [])
        assert "has no end mark" in file.source_reading.warnings[0]


@pytest.mark.parametrize(("accept", "rows"), [(False, 1), (True, 3)])
def test_damaged_jpegs_are_rejected_or_counted_in_the_file(accept, rows, tmp_path):
    out = tmp_path / "out.h5"
    stub.extract(INPUTS / "damaged", out, accept_damaged=accept, max_rejected=1.0)
    with FeatureFile(out) as file:
        assert (len(file), len(file.rejected)) == (rows, 3 - rows)
        assert file.notes == ({DAMAGED: 2} if accept else {})
        assert file.recipe.decoding == ("reduced, damaged ones too" if accept else "reduced")


def test_a_bzip2_member_gives_no_more_than_it_claims(tmp_path):
    picture = encode(solid((1, 2, 3)))
    contents = {"a.png": picture, "b": bytes(10_000_000)}
    path = write_zip(tmp_path / "a.zip", contents, compression=zipfile.ZIP_BZIP2)
    source = open_source(path)
    assert [source.read(index) for index in range(len(source))] == [picture]
    content = path.read_bytes()
    path.write_bytes(content.replace((len(picture)).to_bytes(4, "little"), b"\5\0\0\0"))
    with pytest.raises(OSError, match="its content is not the 5 bytes that it claims"):
        open_source(path).read(0)


def test_tables_of_absurd_width_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text(",".join(["path", *(f"c{n}" for n in range(2000))]) + "\n")
    with pytest.raises(DataError, match="2,001 columns, expected at most 1,000"):
        open_source(tmp_path / "m.csv")


def test_arrays_that_claim_more_than_they_store_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (10**9, 1, 1), np.uint8, chunks=(1000, 1, 1))
    with pytest.raises(DataError, match="claims the shape .* but stores 0 bytes"):
        open_source(tmp_path / "a.h5")
