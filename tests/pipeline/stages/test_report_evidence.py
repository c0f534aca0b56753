"""The page shows where the evidence lies in mistakes, as far as their images are there."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from features.config import ExtractConfig
from features.extraction import run as extraction
from pipeline.config import ClassifyConfig, CompareConfig, ReportConfig
from pipeline.predictors import mistakes_explained
from pipeline.stages import classify, compare, report
from tests.pipeline.browser import browser  # noqa: F401 # a fixture
from tests.pipeline.networks.images import NAMES, split_codes
from tests.pipeline.stages.test_report import Page


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Images of which many are mistaken, their colour histograms, and two candidates."""
    folder = tmp_path_factory.mktemp("home")
    rng, labels = np.random.default_rng(0), np.arange(160) % 3
    x = rng.integers(0, 150, (160, 16, 16, 3))
    x[np.arange(160), :, :, labels] += 2
    names = np.array(NAMES)
    arrays = {"images": x.astype(np.uint8), "labels": labels, "split": split_codes(160)}
    np.savez(folder / "c.npz", class_names=names, **arrays)
    file = extraction.run(
        ExtractConfig(
            folder / "c.npz", folder / "f.h5", "colour", image_size=(16, 16), progress=False
        )
    )
    suite = ("logistic", "nearest-centroid")
    config = ClassifyConfig((file,), folder / "results", suite, tune=False, progress=False)
    classify.run(config)
    return folder


def made(home, out, **settings):
    settings = {"resamples": 50, "progress": False} | settings
    return report.run(ReportConfig((home / "results",), out, **settings))


def test_mistakes_of_the_shown_candidate_have_pictures(home, tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes_explained, "COVERED", 1)
    result = made(home, tmp_path / "r.html", evidence=5)
    page = Page(result.path)
    ranking = result.comparison.ranking
    evidence, candidate = page.data["evidence"], page.data["candidates"][ranking.shown]
    assert evidence["rank"] == ranking.shown
    assert len(evidence["pictures"]) == 5
    kinds = {place: cell[:2] for cell in candidate["cells"] for place, _ in cell[3]}
    assert len({tuple(kinds[int(place)]) for place in evidence["pictures"]}) > 1  # not of one kind
    for place, (uri, sentence) in evidence["pictures"].items():
        true, predicted = (NAMES[number] for number in kinds[int(place)])
        assert sentence.startswith(f"Evidence for {predicted}, by occlusion. The kept model, which")
        assert f"gives {predicted} " in sentence and f" and {true} " in sentence
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert picture.format == "WEBP" and picture.size == (2 * 224 + 8, 224)
    assert "see where the evidence lies" in page.text("mistakes")
    assert "(5 by occlusion)" in page.text("mistakes")


def test_where_parts_are_covered_there_are_fewer(home, tmp_path):
    result = made(home, tmp_path / "r.html", evidence=16)
    assert 2 <= len(result.evidence.pictures) <= 3


def test_bytes_are_bounded(home, tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes_explained, "COVERED", 1)
    size = sum(
        len(p) for p, _ in made(home, tmp_path / "r.html", evidence=6).evidence.pictures.values()
    )
    monkeypatch.setattr(report, "_BYTES", size // 2)
    fewer = made(home, tmp_path / "r.html", evidence=6).evidence.pictures
    assert 0 < len(fewer) < 6
    assert sum(len(picture) for picture, _ in fewer.values()) <= size // 2


def test_it_can_be_turned_off_and_compare_makes_none(home, tmp_path):
    page = Page(made(home, tmp_path / "r.html", evidence=0).path)
    assert page.data["evidence"] == {"rank": -1, "pictures": {}}
    assert "evidence" not in page.text("mistakes")
    comparison = compare.run(CompareConfig((home / "results",), resamples=50))
    assert report.write(comparison, tmp_path / "c.html").evidence is None


def test_without_the_source_it_is_said_in_one_line(home, tmp_path, caplog):
    result = made(home, tmp_path / "r.html", images=tmp_path / "nowhere")
    assert result.evidence.pictures == {}
    (line,) = (text for text in caplog.messages if text.startswith("evidence in mistakes"))
    assert "\n" not in line and "nowhere" in line
    assert "Where evidence lies is not shown: " in Page(result.path).text("mistakes")


def test_images_that_are_others_today_have_none(home, tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes_explained, "COVERED", 1)
    with np.load(home / "c.npz") as arrays:
        changed = dict(arrays) | {"images": arrays["images"][::-1].copy()}
    np.savez(tmp_path / "c.npz", **changed)
    assert made(home, tmp_path / "r.html", images=tmp_path / "c.npz").evidence.pictures == {}


def test_a_click_and_a_key_show_it_and_give_the_focus_back(home, tmp_path, browser):  # noqa: F811
    browser.open(made(home, tmp_path / "r.html").path)
    button = next(each for each in browser.all(".framed") if each.is_displayed())
    assert button.accessible_name.startswith("Show where the evidence lies in ")
    dialog = browser.one("#evidence")
    assert not dialog.is_displayed()
    browser.run("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert dialog.is_displayed()
    assert browser.one("#evidence-text").text.startswith("Evidence for ")
    assert browser.run("return document.querySelector('#evidence img').naturalWidth") == 456
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert browser.driver.switch_to.active_element == button
    browser.run("arguments[0].click()", button)
    browser.one("#evidence-close").click()
    assert not dialog.is_displayed()
    assert browser.complaints() == [] and browser.requests() == []
