"""The text of an inspection: every class by split, columns, rejected images, problems."""

from pathlib import Path

from pipeline.reports.inspection import data, text
from pipeline.results.inspection import ClassCount, Inspection, StoredLayer

FACTS = {
    "bytes": 2_500_000, "shards": 0, "source_kind": "folder", "parts": [], "source": "photos", "backbone": "vgg16",
    "weights": {"weights_source": "keras", "sha256": "0123456789abcdef01"}, "image_size": [96, 128],
    "resize": "crop", "interpolation": "bilinear", "scaling": "caffe", "engine": "openvino",
    "precision": "bfloat16", "batch_size": 32, "versions": {"keras": "3.15"},
    "recipe_digest": "abc", "created": None,
}  # fmt: skip


def make(**changes):
    values = {
        "path": Path("f.h5"), "images": 9, "facts": FACTS, "splits": ("none", "train"),
        "layers": (StoredLayer("fc2", (4096,), "avg", "float16"),),
        "classes": (
            ClassCount("<b>cat</b>", {"none": 0, "train": 5}),
            ClassCount(None, {"none": 4, "train": 0}),
        ),
        "columns": {"patient": 3}, "rejected": (), "problems": (),
    }  # fmt: skip
    return Inspection(**(values | changes))


def test_a_file_that_is_as_it_was_written():
    lines = text(make()).splitlines()
    assert lines[0] == "file      f.h5 (2.5 MB)"
    assert "weights   keras, sha256 0123456789abcdef" in lines
    assert "pixels    96 x 128, crop, bilinear, scaling caffe" in lines
    assert "created   unknown" in lines
    rows = [line.split() for line in lines]
    assert ["class", "images", "train"] in rows
    assert ["(unlabelled)", "4", "0"] in rows
    assert ["(all)", "4", "5"] in rows
    assert ["patient", "3"] in rows
    assert lines[-1] == "every check passed"


def test_rejected_images_and_problems_are_listed():
    rejected = tuple((f"{number}.png", "truncated") for number in range(12))
    lines = text(make(rejected=rejected, problems=("a changed",), columns={})).splitlines()
    assert sum(line.startswith("rejected: ") for line in lines) == 10
    assert "... and 2 more" in lines
    assert lines[-2:] == ["problem: a changed", "not as it was written"]
    assert not any("distinct values" in line for line in lines)


def test_what_was_guessed_is_shown():
    lines = text(make(notes={"transparent everywhere": 1, "damaged": 1200})).splitlines()
    assert "warning: 1 image is transparent everywhere" in lines
    assert "warning: 1,200 images are damaged" in lines


def test_json_has_all_rejected_images():
    rejected = tuple((f"{number}.png", "truncated") for number in range(12))
    facts = data(make(rejected=rejected))
    assert len(facts["rejected"]) == 12
    assert facts["rejected"][0] == {"id": "0.png", "reason": "truncated"}
    assert facts["classes"][1] == {"class": None, "images": {"none": 4, "train": 0}}


def test_a_notebook_shows_it_escaped():
    inspection = make(problems=("a changed",))
    assert repr(inspection).endswith("9 images through vgg16, 1 layer, 0 rejected, 1 problem")
    shown = inspection._repr_html_()
    assert "&lt;b&gt;cat" in shown
    assert "<b>cat" not in shown
