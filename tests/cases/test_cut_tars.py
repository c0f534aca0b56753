"""Tars that were cut within a member: what is whole is read, what is missing is said."""

import numpy as np
import pytest
from PIL import Image

from features.errors import DataError
from features.sources import open_source
from features.storage.store import FeatureFile
from tests.features.faults import stub
from tests.features.pictures import encode
from tests.features.sources.builders import write_tar


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    return encode(Image.fromarray(pixels))


CUT = {f"cat/{number}.png": noise(number) for number in range(4)}


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")]
)
def test_a_tar_that_was_cut_within_a_member_has_the_whole_ones(name, mode, tmp_path):
    path = write_tar(tmp_path / name, CUT, mode)
    content, seen = path.read_bytes(), set()
    members = 4 * 512 + sum(map(len, CUT.values()))
    for size in range(1000, min(len(content) - 100, members), 150):
        path.write_bytes(content[:size])
        try:
            source = open_source(path)
        except DataError as error:
            assert "no image" in str(error) and "was cut" in str(error)
            continue
        with source:
            assert (source.is_cut, len(source.passed_over)) == (True, 0)
            assert [source.read(index) for index in range(len(source))] == [
                CUT[f"cat/{number}.png"] for number in range(len(source))
            ]
            lost = f"{name} ends within cat/{len(source)}.png, which was not read"
            warnings = source.reading.warnings
            assert "has no end mark: it was cut" in warnings[-1]
            assert len(warnings) == 1 or lost in warnings[0]
            seen.add((len(source), len(warnings)))
    assert {1, 2, 3} <= {images for images, warnings in seen if warnings == 2}


def test_what_was_cut_off_fails_the_run_after_all_else_was_written(tmp_path):
    path = write_tar(tmp_path / "a.tgz", CUT, "w:gz")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="was cut, so images may be missing"):
        stub.extract(path, tmp_path / "out.h5")
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.ids == ["cat/0.png", "cat/1.png", "cat/2.png"]
        assert "ends within cat/3.png" in file.source_reading.warnings[0]
