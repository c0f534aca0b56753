"""What is guessed of images is counted, from decoding to the feature file."""

import json

import numpy as np
import pytest
from PIL import Image

from features.decoding import decode
from features.decoding.colours import FEW_BITS, NO_ALPHA, TRANSPARENT
from features.decoding.jpeg import DAMAGED
from features.extraction.loading import load
from features.extraction.shards import Shards
from features.sources import open_source
from features.storage.row_blocks import Rows
from features.storage.store import FeatureFile
from tests.features.examples import recipe
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files
from tests.features.test_damaged import cut_and_closed, picture

NOISE = np.random.default_rng(0).integers(0, 255, (40, 40, 4), dtype=np.uint8)
EIGHT, TWELVE = (FEW_BITS.format(bits=bits, top=(1 << bits) - 1) for bits in (8, 12))


def words(top):
    return np.random.default_rng(0).integers(0, top + 1, (40, 40), dtype=np.uint16)


IMAGES = {
    "transparent everywhere": (encode(solid((9, 8, 7, 0), mode="RGBA")), [TRANSPARENT]),
    "transparent in places": (encode(Image.fromarray(NOISE[:, :, :3]).convert("RGBA")), []),
    "a fourth band": (encode(Image.fromarray(NOISE), "TIFF"), [NO_ALPHA]),
    "8 of 16 bits": (encode(Image.fromarray(words(255))), [EIGHT]),
    "12 of 16 bits": (encode(Image.fromarray(words(4095))), [TWELVE]),
    "12 of 16 bits, TIFF": (encode(Image.fromarray(words(4095)), "TIFF"), [TWELVE]),
    "16 bits": (encode(Image.fromarray(words(65535))), []),
    "black": (encode(Image.fromarray(words(0))), []),
    "12 of 16 bits, array": (np.stack([words(4095)] * 3, 2), [TWELVE]),
}


@pytest.mark.parametrize(("content", "expected"), IMAGES.values(), ids=IMAGES)
def test_what_looks_wrong_is_noted(content, expected):
    notes = []
    decode(content, notes=notes)
    assert notes == expected


def test_notes_come_with_the_outcomes(tmp_path):
    damaged = cut_and_closed(encode(picture(300, 200), "JPEG"))
    source = open_source(write_files(tmp_path, {"a.jpg": damaged, "b.jpg": encode(picture())}))
    for accept, reasons, notes in (
        (True, [None, None], (DAMAGED,)),
        (False, ["damaged", None], ()),
    ):
        (batch,) = load(source, (8, 8), "stretch", "bilinear", 2, accept_damaged=accept)
        found = [outcome.reason and outcome.reason.split()[0] for outcome in batch.outcomes]
        assert found == reasons
        assert batch.outcomes[0].notes == notes
        assert batch.outcomes[1].notes == ()


def test_notes_are_summed_over_shards_also_those_of_an_earlier_run(tmp_path):
    def rows(start, notes):
        return Rows(
            {"layer": np.ones((2, 3), np.float32)}, [f"{start}.png", f"{start + 1}.png"],
            np.zeros((2, 16), np.uint8), np.zeros(2, np.int32), np.zeros(2, np.uint8), [],
            notes=notes,
        )  # fmt: skip

    out = tmp_path / "out.h5"
    first = Shards(out, recipe(), 4, 2)
    first.folder.mkdir()
    first.write(0, 2, rows(0, {"odd": 2}))
    second = Shards(out, recipe(), 4, 2)
    assert second.resume(restart=False) == 2
    second.write(2, 4, rows(2, {"odd": 1, "black": 1}))
    second.assemble(out, {"recipe": recipe().to_json(), "notes": json.dumps(second.notes)})
    with FeatureFile(out) as file:
        assert file.notes == {"odd": 3, "black": 1}
        assert len(file) == 4
