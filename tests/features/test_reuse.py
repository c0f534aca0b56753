"""Nothing is reused that is not the same: images are compared by their content."""

import dataclasses
import os
import shutil
import tarfile
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import features
from features.disk.locks import locked
from features.errors import UsageError
from features.extraction import run as extraction
from features.extraction.shards import Shards, partial_folder
from features.sources import open_source
from features.sources.arrays import ArraySource
from features.storage.store import FeatureFile
from tests.features.faults import stub

COUNT = 20


def draw(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def images(tmp_path):
    """A folder of bitmaps, all of the same size in bytes."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        draw(number).save(folder / f"{number:02}.bmp")
    return folder


def _folder(folder):
    return folder


def _zip(folder):
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return folder.with_suffix(".zip")


def _tgz(folder):
    with tarfile.open(folder.with_suffix(".tgz"), "w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return folder.with_suffix(".tgz")


def _manifest(folder):
    lines = ["path", *(f"images/{path.name}" for path in sorted(folder.iterdir()))]
    folder.with_suffix(".csv").write_text("\n".join(lines))
    return folder.with_suffix(".csv")


@pytest.mark.parametrize("packed", [_folder, _zip, _tgz, _manifest])
def test_an_image_replaced_by_one_of_equal_size_is_noticed(images, tmp_path, packed, caplog):
    out, path = tmp_path / "out.h5", images / "07.bmp"
    stub.extract(packed(images), out)
    before, status = out.read_bytes(), path.stat()
    draw(100).save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UsageError, match=r"from other images than .*07.bmp has changed; --restart"):
        stub.extract(packed(images), out)
    assert out.read_bytes() == before
    assert stub.extract(packed(images), out, trust_source=True) == out
    assert "--trust-source: the images" in caplog.text
    stub.extract(packed(images), out, restart=True)
    assert out.read_bytes() != before


def test_a_file_is_looked_at_when_nobody_else_writes_it(images, tmp_path, monkeypatch):
    out = tmp_path / "out.h5"
    stub.extract(images, out)
    with locked(partial_folder(out)), pytest.raises(UsageError, match="another process is writing"):
        stub.extract(images, out)

    @contextmanager
    def locking(folder):  # the lock is had when another process has finished the file
        with locked(folder):
            kept.rename(out)
            yield

    kept = out.rename(tmp_path / "kept.h5")
    monkeypatch.setattr(extraction, "locked", locking)
    monkeypatch.setattr(extraction, "compute_features", None)
    assert stub.extract(images, out) == out


def test_an_image_of_another_time_and_equal_content_is_the_same(images, tmp_path, monkeypatch):
    out = stub.extract(images, tmp_path / "out.h5")
    os.utime(images / "07.bmp", (1, 1))
    monkeypatch.setattr(extraction, "compute_features", None)  # would raise if it were called
    assert stub.extract(images, out) == out


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays_are_compared_whole(tmp_path, suffix):
    """All but 64 images inverted, which an older fingerprint did not look at."""
    import h5py

    def write(pixels):
        if suffix == ".npz":
            np.savez(tmp_path / "x.npz", images=pixels)
        else:
            with h5py.File(tmp_path / "x.h5", "w") as file:
                file.create_dataset("images", data=pixels, chunks=(7, 12, 12, 3))

    pixels = np.random.default_rng(0).integers(0, 256, (500, 12, 12, 3), np.uint8)
    source, out = tmp_path / f"x{suffix}", tmp_path / "out.h5"
    write(pixels)
    stub.extract(source, out, 64)
    assert stub.extract(source, out, 64) == out
    kept = [number * 500 // 64 for number in range(64)]
    inverted = 255 - pixels
    inverted[kept] = pixels[kept]
    write(inverted)
    with pytest.raises(UsageError, match=r"436 images, such as 0000001, have changed"):
        stub.extract(source, out, 64)
    inverted[:] = pixels
    inverted[123, 5, 5, 1] ^= 1
    write(inverted)
    with pytest.raises(UsageError, match=r"holds now: 0000123 has changed; --restart"):
        stub.extract(source, out, 64)


def test_a_share_of_arrays_is_compared_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels)
    out = stub.extract(tmp_path / "x.npz", tmp_path / "out.h5", limit=10)
    pixels[1] = 0
    np.savez(tmp_path / "x.npz", images=pixels)
    stub.extract(tmp_path / "x.npz", out, limit=10)
    pixels[2] = 0
    np.savez(tmp_path / "x.npz", images=pixels)
    with pytest.raises(UsageError, match="0000002 has changed"):
        stub.extract(tmp_path / "x.npz", out, limit=10)


def test_what_differs_is_said(photos, tmp_path):
    out = stub.extract(photos, tmp_path / "out.h5")
    (photos / "cat" / "0.png").unlink()
    (photos / "cat" / "1.png").rename(photos / "dog" / "x.png")
    draw(3).save(photos / "dog" / "0.png")
    told = (
        r"2 images, such as cat/0.png, have gone; dog/x.png is new; dog/0.png has changed; "
        "--restart"
    )
    with pytest.raises(UsageError, match=told):
        stub.extract(photos, out)


SPLIT_FOLDERS = {"train": "cat", "test": "dog"}


def test_splits_that_are_named_are_kept_and_compared(photos, tmp_path, monkeypatch):
    out = stub.extract(photos, tmp_path / "out.h5", splits=SPLIT_FOLDERS, limit=12)
    with FeatureFile(out) as file:
        assert file.source_options == {"limit": 12, "splits": tuple(SPLIT_FOLDERS.items())}
        assert set(file.splits.tolist()) == {1, 3}
    assert stub.extract(photos, out, splits=SPLIT_FOLDERS, limit=12) == out
    others = {"train": "dog", "test": "cat"}
    for splits, told in ((others, "are in other splits"), (None, "classes .* -> cat, dog")):
        with pytest.raises(UsageError, match=f"from other images than .*{told}.*--restart"):
            stub.extract(photos, out, splits=splits, limit=12)
    out.unlink()
    _interrupted(monkeypatch, photos, out, splits=SPLIT_FOLDERS)
    with pytest.raises(UsageError, match=r"source.fingerprint: \w+ -> \w+.*--restart"):
        stub.extract(photos, out, splits=others)


def test_labels_splits_and_columns_are_compared_by_name(photos, tmp_path):
    lines = [f"cat/{n}.png,cat,train,P{n}" for n in range(10)]
    table = tmp_path / "photos" / "m.csv"

    def write(*rows):
        table.write_text("\n".join(["path,label,split,patient", *rows]))

    write(*lines)
    out = stub.extract(table, tmp_path / "out.h5")
    for row, told in (
        ("cat/9.png,dog,train,P9", r"cat/9.png has another label; classes cat -> cat, dog"),
        ("cat/9.png,cat,test,P9", r"cat/9.png is in another split"),
        ("cat/9.png,cat,train,P8", r"cat/9.png has another patient"),
    ):
        write(*lines[:-1], row)
        with pytest.raises(UsageError, match=f"holds now: {told}; --restart"):
            stub.extract(table, out)


def test_a_rejected_image_that_can_be_read_now_is_noticed(images, tmp_path):
    path = images / "07.bmp"
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    out = stub.extract(images, tmp_path / "out.h5", max_rejected=1.0)
    assert stub.extract(images, out, max_rejected=1.0) == out
    path.write_bytes(whole)
    with pytest.raises(UsageError, match="07.bmp has changed"):
        stub.extract(images, out, max_rejected=1.0)


def test_the_fingerprint_of_an_earlier_version_is_no_difference(tmp_path, monkeypatch):
    """Content decides: the same images are there already, others are told by name."""
    source = stub.images(tmp_path / "images.npz", COUNT)
    with monkeypatch.context() as patch:
        patch.setattr(ArraySource, "fingerprint", lambda source: "0" * 32)
        out = stub.extract(source, tmp_path / "out.h5")
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "compute_features", None)
        assert stub.extract(source, out) == out
    with np.load(source) as arrays:
        np.savez(source, images=255 - arrays["images"], labels=arrays["labels"])
    with pytest.raises(UsageError, match="20 images, such as 0000000, have changed"):
        stub.extract(source, out)


def _interrupted(monkeypatch, source, out, **options):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "assemble", stop)
        with pytest.raises(KeyboardInterrupt):
            stub.extract(source, out, **options)


def test_a_resumed_run_extracts_again_what_has_changed(images, tmp_path, monkeypatch, caplog):
    out = tmp_path / "out.h5"
    _interrupted(monkeypatch, images, out)
    draw(100).save(images / "09.bmp")
    with caplog.at_level("INFO", "offshelf"):
        stub.extract(images, out)
    assert "09.bmp has changed since they were extracted; images 8 to 15 are" in caplog.text
    assert "resuming: 12 of 20" in caplog.text
    whole = stub.extract(images, tmp_path / "whole.h5")
    assert stub.datasets(out) == stub.datasets(whole)
    assert not partial_folder(out).exists()


def test_a_resumed_run_of_changed_arrays_is_refused(tmp_path, monkeypatch):
    source, out = stub.images(tmp_path / "images.npz", COUNT), tmp_path / "out.h5"
    _interrupted(monkeypatch, source, out)
    with np.load(source) as arrays:
        np.savez(source, images=255 - arrays["images"], labels=arrays["labels"])
    with pytest.raises(UsageError, match=r"source.fingerprint: \w+ -> \w+.*--restart"):
        stub.extract(source, out)


def test_arrays_on_disk_are_compared_with_what_was_read_of_them(tmp_path, monkeypatch, caplog):
    import h5py

    source, out = tmp_path / "images.h5", tmp_path / "out.h5"
    with h5py.File(source, "w") as file:
        pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 12, 3), np.uint8)
        file["images"] = pixels
        at = file["images"].id.get_offset() + pixels[:13].nbytes

    def change():
        with source.open("rb+") as file:
            file.seek(at)
            file.write(bytes([pixels[13, 0, 0, 0] ^ 1]))

    _interrupted(monkeypatch, source, out)
    change()
    stub.extract(source, out)
    assert "0000013 has changed since they were extracted; images 8 to 15 are" in caplog.text
    pixels[13, 0, 0, 0] ^= 1
    change()
    with pytest.raises(UsageError, match="holds now: 0000013 has changed; --restart"):
        stub.extract(source, out)


def test_digests_are_those_of_the_rows(images, tmp_path):
    from features.sources.contents import digest_contents

    arrays = stub.images(tmp_path / "images.npz", 700)
    for source in (images, _zip(images), _tgz(images), arrays):
        out = stub.extract(source, tmp_path / f"{source.name}.h5", 64)
        with FeatureFile(out) as file, open_source(source) as opened:
            done = []
            digests = digest_contents(opened, range(len(opened)), done.append)
            np.testing.assert_array_equal(digests, file.digests)
            assert sum(done) == len(opened)
    shutil.rmtree(images)


def test_differences_of_recipes_name_the_setting_within():
    from tests.features.examples import recipe

    ours = recipe()
    other = dataclasses.replace(ours, versions={"numpy": "3"}, pooling="max")
    assert ours.differences(other) == ["pooling: avg -> max", "versions.numpy: 2 -> 3"]
    assert features.ExtractConfig("a", "b").trust_source is False
