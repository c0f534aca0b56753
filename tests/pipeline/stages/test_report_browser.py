"""The report in a real browser: every section renders, sorting and clicking work, nothing leaves."""

import json

import pytest
from selenium.webdriver.common.keys import Keys

from pipeline.config import CompareConfig, ReportConfig
from pipeline.stages import compare, report
from tests.pipeline import candidates
from tests.pipeline.browser import PHONE, browser  # noqa: F401 # a fixture
from tests.pipeline.stages.test_report import CENTROID, EVIL, history, mark_duplicates

pytestmark = pytest.mark.usefixtures("browser")

POINT = {"layer": "pool", "accuracy": 0.5, "low": 0.4, "high": 0.6}
ADVICE = {
    "learning_curve": [POINT | {"rows": 10}, POINT | {"rows": 100}],
    "layers": [POINT | {"dimensions": 8}, POINT | {"layer": EVIL[0], "dimensions": 8}],
    "recommendation": {"command": "python -m pipeline classify", "reason": "Few images."},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results with everything that a page can show, and names that could break it."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "NAMES", EVIL)
        patch.setattr(candidates, "SUFFIX", "'\"<b>&.png")
        found = candidates.results(folder, pictures=folder / "pictures")
    mark_duplicates(found, 2)
    (found / CENTROID / "history.json").write_text(json.dumps(history()))
    (found / "advice.json").write_text(json.dumps(ADVICE))
    return found


@pytest.fixture(scope="module")
def page(results):
    out, pictures = results.parent / "report.html", results.parent / "pictures"
    return report.run(ReportConfig((results,), out, images=pictures, evidence=0, resamples=50)).path


def test_every_section_renders_without_a_word_and_without_a_request(browser, page):  # noqa: F811
    browser.open(page)
    assert browser.complaints() == []
    assert browser.requests() == []
    for section in browser.all("main > section"):
        assert section.is_displayed() and section.size["height"] > 100
    for plot in browser.all(".plot"):
        assert plot.find_elements("css selector", "svg.main-svg .trace"), plot.get_attribute("id")
        assert plot.get_attribute("aria-label")
    broken = (
        "return [...document.images].filter((one) => !one.naturalWidth || one.alt === null).length"
    )
    assert len(browser.all("img")) > 10
    assert browser.run(broken) == 0
    shown = [one.get_attribute("title") for one in browser.all(".matrix th[scope=col]")]
    assert shown == list(EVIL)
    assert EVIL[0] in browser.one("#plot-layers").text


def test_a_table_is_sorted_by_click_and_by_keyboard(browser, page, results):  # noqa: F811
    browser.open(page)
    rows = compare.run(CompareConfig((results,), resamples=50)).rows
    by_loss = sorted(rows, key=lambda row: row["log_loss"])

    def order():
        return [cell.text for cell in browser.all("#table tbody td:first-child")]

    assert order() == ["1", "2", "3"]
    head = browser.one("#table th[title='log loss']")
    button = head.find_element("css selector", "button")
    browser.run("arguments[0].click()", button)
    assert head.get_attribute("aria-sort") == "ascending"
    assert order() == [str(row["rank"]) for row in by_loss]
    button.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    assert order() == [str(row["rank"]) for row in by_loss[::-1]]
    assert len(browser.all("#table th[aria-sort]")) == 1


def test_a_cell_shows_its_images_by_click_and_by_keyboard(browser, page):  # noqa: F811
    browser.open(page)
    cells = {
        tuple(map(int, cell.get_attribute("data-cell").split(","))): cell
        for cell in browser.all("#confusion [data-cell]")
    }
    assert len(cells) == 9
    browser.run("arguments[0].click()", cells[1, 2])
    assert browser.one("#cell h3").text == f"{EVIL[1]} taken for {EVIL[2]}"
    count = int(cells[1, 2].text)
    assert len(browser.all("#cell .thumb img")) == min(count, 12)
    assert f"{count} images" in browser.one("#cell").text
    cells[1, 2].send_keys(Keys.ARROW_LEFT)
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_UP)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.one("#cell h3").text == f"{EVIL[0]} taken for {EVIL[1]}"
    assert cells[0, 1].get_attribute("aria-selected") == "true"
    assert len(browser.all("#confusion [tabindex='0']")) == 1


def test_choosing_a_candidate_changes_all_that_is_about_it(browser, page):  # noqa: F811
    browser.open(page)
    before = browser.one("#confusion").text, browser.one("#error-before").text
    last = browser.all("#table .pick")[-1]
    browser.run("arguments[0].click()", last)
    assert browser.one("#choose-mistakes").get_attribute("value") == "2"
    assert browser.one("#choose-certainty").get_attribute("value") == "2"
    after = browser.one("#confusion").text, browser.one("#error-before").text
    assert before[0] != after[0] and before[1] != after[1]
    assert browser.complaints() == []


def test_light_and_dark(browser, page):  # noqa: F811
    colour = "return getComputedStyle(document.body).backgroundColor"
    line = "return document.querySelector('#plot-reliability .xtick text').style.fill"
    browser.open(page)
    light, text = browser.run(colour), browser.run(line)
    browser.open(page, dark=True)
    dark = browser.run(colour)
    assert light != dark
    assert browser.run(line) != text
    browser.one("#theme").click()
    assert browser.run(colour) == light
    assert browser.run(line) == text  # charts follow
    assert browser.one("#theme").get_attribute("aria-pressed") == "false"
    browser.one("#theme").click()


def test_a_phone_scrolls_down_only(browser, page):  # noqa: F811
    browser.open(page, PHONE)
    assert not browser.wider_than_window()
    assert browser.complaints() == []
    for plot in browser.all(".plot"):
        assert plot.size["width"] <= PHONE[0]


def test_text_has_enough_contrast(browser, page):  # noqa: F811
    for dark in (False, True):
        browser.open(page, dark=dark)
        assert browser.run(CONTRAST) == []


# Text whose contrast with its background is below WCAG's AA: 4.5, or 3 where it is large.
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
function light([r, g, b]) {
  const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ground(element) {
  for (let one = element; one; one = one.parentElement) {
    const colour = rgba(getComputedStyle(one).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return rgba("white");
}
const found = new Set();
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  if (!own || element.closest("svg, script, style, noscript, .unseen, option") || !element.offsetParent) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(rgba(style.color)), light(ground(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) {
    found.add(`${element.tagName} ${element.className}: ${ratio.toFixed(2)}`);
  }
}
return [...found];
"""
