"""Every case through the command line: the exit code, and what a user is told."""

import io
import sys
import tarfile
import unicodedata
from pathlib import Path

import pytest

from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.faults import stub
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files

INPUTS = Path(__file__).parent / "inputs"
TWO_OF_THREE = "found 6 images of 2 classes (cat 3, dog 3); unlabelled 0"

# the case, its options, the exit code, what is said, and the rows in the end
CASES = [
    ("backslashes/winslash.zip", (), 0, TWO_OF_THREE, 6),
    ("backslashes/wincsv/m.csv", (), 0, TWO_OF_THREE, 6),
    ("planar", (), 0, "found 2 images; unlabelled 2", 2),
    ("alpha", (), 0, "found 2 images; unlabelled 2", 2),
    ("damaged", (), 1, "2 of 3 images were rejected (2 x damaged or truncated: ", 1),
    ("damaged", ("--accept-damaged",), 0,
     "2 images are damaged and taken with what could be decoded", 3),
    ("metadata", (), 0, "found 12 images; unlabelled 12", 12),
    ("arrays/u16_8bit.npz", (), 1, "they have 8 bits, and would be nearly black; convert", None),
    ("arrays/u16_12bit.npz", (), 1, "they have 12 bits, and would be nearly black; convert", None),
    ("arrays/images_label.npz", (), 0, "of 3 classes (0 2, 1 2, 2 2)", 6),
    ("arrays/names_dataset.h5", (), 0, "of 3 classes (cat 2, dog 2, owl 2)", 6),
    ("tars/wkeys.tar", (), 0, "found 3 images of 1 class (1 3)", 3),
    ("labels/nanlab.csv", (), 0, "1 image is of a class called 'NaN'; if that stands for", 4),
    ("labels/floatlab.csv", (), 0, "(1.0 1, 2.0 1, 10.0 1); unlabelled 1", 4),
    ("labels/pnan.parquet", (), 0, "(1 1, 2 1, 10 1); unlabelled 1", 4),
    ("tars/concat.tar", (), 0, "of 2 classes (c0 3, c1 3)", 6),
    ("tars/concat.tar.gz", (), 0, "of 2 classes (c0 3, c1 3)", 6),
    ("tars/trunc_boundary.tar", (), 1, "was cut, so images may be missing; those that it has", 2),
    ("stray/withcsv.zip", (), 0, "(cat 3, dog 3); unlabelled 0; passed over 1 file: 1 .csv; not "
     "read: pets/labels.csv", 6),
    ("stray/withcsv", (), 0, "not read: pets/labels.csv", 6),
    ("deflate64.zip", (), 1, "compressed by deflate64, which Python cannot read (it is not", None),
]  # fmt: skip
PACKED = [
    ("passed_over.tar", ("--max-rejected=1",), 0, "2 .jpg~", 18),
    ("nas.tar", (), 0, "found 4 images of 2 classes (cat 2, dog 2); unlabelled 0", 4),
]


def extract(source: Path, out: Path, options: tuple[str, ...] = ()) -> int:
    with stub.stubbed():
        return main(["extract", str(source), "--out", str(out), *stub.ARGUMENTS, *options])


def check(out: Path, rows: int | None) -> None:
    assert out.exists() == (rows is not None)
    if rows is not None:
        with FeatureFile(out) as file:
            assert len(file) == rows
        assert main(["inspect", str(out)]) == 0


@pytest.mark.parametrize(("name", "options", "code", "told", "rows"), CASES)
def test_what_a_user_is_told(name, options, code, told, rows, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert extract(INPUTS / name, out, options) == code
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
    check(out, rows)


@pytest.mark.parametrize(("name", "options", "code", "told", "rows"), PACKED)
def test_what_a_user_is_told_of_folders(name, options, code, told, rows, tmp_path, capsys):
    with tarfile.open(INPUTS / name) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    out = tmp_path / "out.h5"
    assert extract(folder, out, options) == code
    assert told in capsys.readouterr().err
    check(out, rows)


def test_two_forms_of_unicode_are_one_class(tmp_path, capsys):
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    splits = zip(("train", "test"), forms, strict=True)
    pictures = {f"{split}/{name}/0.png": encode(solid((1, 2, 3))) for split, name in splits}
    assert extract(write_files(tmp_path / "images", pictures), tmp_path / "out.h5") == 0
    assert f"of 1 class ({forms[0]} 2) in train 1 and test 1" in capsys.readouterr().err


def test_a_source_that_another_program_has_locked_is_read(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with (INPUTS / "arrays/names_dataset.h5").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert extract(INPUTS / "arrays/names_dataset.h5", tmp_path / "out.h5") == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_terminal_lacks_are_replaced(encoding, tmp_path, monkeypatch):
    with tarfile.open(INPUTS / "names.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    out = tmp_path / "日é.h5"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        assert extract(tmp_path / "uni", out, ("--max-rejected=1",)) == 0
        assert main(["inspect", str(out)]) == 0
    shown.seek(0)
    assert "found 3 images of 2 classes (caf" in shown.read()


def test_a_damaged_feature_file_is_inspected_too(tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert extract(INPUTS / "planar", out) == 0
    with FeatureFile(out) as file:
        (layer,) = file.layers
        start = file._file[f"features/{layer}"].id.get_chunk_info(0).byte_offset
    with out.open("rb+") as file:
        file.seek(start + 5)
        file.write(b"\xff")
    assert main(["inspect", str(out)]) == 1
    shown = capsys.readouterr().out
    assert f"problem: /features/{layer} has changed since it was written" in shown
    assert shown.splitlines()[-1] == "not as it was written"
    out.write_bytes(out.read_bytes()[: out.stat().st_size // 2])
    assert main(["inspect", str(out)]) == 1
    error = capsys.readouterr().err
    assert "is no feature file" in error and "Traceback" not in error
