"""The map's page in a real browser: points, images, filters, keys; nothing leaves the page."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from features.records import blake2b
from features.storage.row_blocks import Rows
from pipeline.config import MapConfig
from pipeline.maps import layouts
from pipeline.stages import map as stage
from tests.features.examples import attributes, recipe, write
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files
from tests.pipeline.browser import PHONE, browser  # noqa: F401 # a fixture

pytestmark = pytest.mark.usefixtures("browser")

EVIL = ("</script><b>", "cat & dog", "'\"zebra")
COUNT = 90


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A map of images of three colours, a third of them locked, with what a candidate took them for."""
    folder = tmp_path_factory.mktemp("map")
    labels = np.arange(COUNT, dtype=np.int32) % 3
    colours = [(200, 20, 20), (20, 200, 20), (20, 20, 200)]
    files = {
        f"{n:03d}.png": encode(solid(colours[label], (40, 30))) for n, label in enumerate(labels)
    }
    source = write_files(folder / "images", files)
    x = 6 * np.eye(3, 8)[labels] + np.random.default_rng(0).normal(size=(COUNT, 8))
    digests = np.stack([np.frombuffer(blake2b(one), np.uint8) for one in files.values()])
    parts = np.where(np.arange(COUNT) < 60, 1, 3).astype(np.uint8)
    rows = Rows({"a": x.astype(np.float32)}, list(files), digests, labels, parts, [])
    facts = attributes(recipe(layers=("a",))) | {"class_names": json.dumps(EVIL)}
    write(folder / "f.h5", [rows], facts | {"provenance": json.dumps({"source": str(source)})})
    (source / "000.png").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "LATE", 50)
        patch.setattr(stage, "read_points", with_candidate(stage.read_points))
        config = MapConfig(folder / "f.h5", folder / "map.html", perplexity=10, progress=False)
        return stage.run(config).files[0]


def with_candidate(points):
    """What `read_points` gives, with a candidate that takes two images for others."""
    import dataclasses

    from pipeline.maps.points import CandidatePredictions

    def wrapped(*arguments):
        found = points(*arguments)
        predicted = found.labels.copy()
        predicted[30:] = -1
        predicted[[3, 7]] = (predicted[[3, 7]] + 1) % 3
        return dataclasses.replace(
            found, candidates=(CandidatePredictions(EVIL[0], EVIL[1], predicted),)
        )

    return wrapped


@pytest.fixture
def opened(browser, page):  # noqa: F811
    browser.open(page)
    browser.run("paintNow()")
    assert browser.run("return points.how") == "pixels"
    return browser


def load_or_make_splits(browser, script):  # noqa: F811
    """Wait until a script gives something."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser.driver, 60).until(lambda _: browser.run(script))


def hover(browser, number):  # noqa: F811
    """Put the mouse over an image's point."""
    x, y = browser.run("return [across(arguments[0]), down(arguments[0])]", number)
    box = browser.run("const b = stage.getBoundingClientRect(); return [b.width, b.height]")
    stage_ = browser.one("#stage")
    chain = ActionChains(browser.driver, duration=10)
    chain.move_to_element_with_offset(stage_, 5 - box[0] / 2, 5 - box[1] / 2)
    chain.move_to_element_with_offset(stage_, x - box[0] / 2, y - box[1] / 2).perform()
    load_or_make_splits(browser, "return !tip.hidden")
    return browser.run("return Number(tip.dataset.image)")


def complaints(browser):  # noqa: F811
    """What the console holds, but for what Chromium says of drawing without a graphics card."""
    own = ("Automatic fallback to software WebGL", "GPU stall due to ReadPixels")
    return [one for one in browser.complaints() if not any(words in one for words in own)]


def pixels(browser):  # noqa: F811
    return Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")


def test_it_renders_without_a_word_and_without_a_request(opened):
    assert opened.run("return matching.length") == COUNT
    box = opened.run(
        "const b = stage.getBoundingClientRect(); return [b.x, b.y, b.right, b.bottom]"
    )
    inside = pixels(opened).crop(tuple(map(int, box)))
    wanted = [
        tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in opened.run("return facts.colours")
    ]
    near = np.asarray(inside).reshape(-1, 3).astype(int)
    for colour in wanted:  # mixed with the ground by 15 %
        assert (np.abs(near - colour).max(axis=1) < 45).sum() > 50
    assert not opened.wider_than_window()
    assert complaints(opened) == []
    assert opened.requests() == []


def test_hovering_shows_the_image(opened):
    found = hover(opened, 4)
    assert found == 4
    assert EVIL[1] in opened.one("#tip-class").text
    assert opened.one("#tip-id").text == "004.png · train"
    load_or_make_splits(opened, "return document.getElementById('thumbnail').dataset.image === '4'")
    middle = opened.run(
        "const c = document.getElementById('thumbnail');"
        "return [c.width, c.height, ...c.getContext('2d').getImageData(50, 40, 1, 1).data]"
    )
    assert middle[:2] == [112, 84]
    assert abs(middle[2] - 20) < 12 and abs(middle[3] - 200) < 12 and abs(middle[4] - 20) < 12
    assert complaints(opened) == []


def test_lost_images_are_told(opened):
    assert "not shown: 1 of 90 images (000.png)" in opened.one("#lost").text
    assert hover(opened, 0) == 0
    assert opened.run("return document.getElementById('thumbnail').hidden")


def test_locked_images_are_grey_and_nameless(opened):
    assert opened.run("return labels.slice(60).every((code) => code === NONE)")
    hover(opened, 75)
    assert opened.one("#tip-class").text == "locked"


def test_filter_by_what_a_candidate_got_wrong(opened):
    option = opened.all("#show option")[1]
    assert option.text == f"{EVIL[1]}: 2 of 30, {EVIL[0]}"
    option.click()
    assert sorted(opened.run("return [...matching]")) == [3, 7]
    assert opened.one("#shown").text == "2 of 90 images"
    hover(opened, 3)
    assert opened.one("#tip-predicted").text == f"taken for {EVIL[1]}"


def test_the_legend_hides_and_isolates_classes(opened):
    buttons = opened.all("#legend .class")
    assert [one.text.split("\n")[0] for one in buttons] == [*EVIL, "locked"]
    buttons[0].click()
    assert buttons[0].get_attribute("aria-pressed") == "false"
    assert opened.run("return matching.length") == COUNT - 20
    opened.run("document.querySelectorAll('#legend .only')[2].click()")
    assert opened.run("return [...new Set([...matching].map((i) => labels[i]))]") == [2]
    opened.one("#none").click()
    assert opened.run("return matching.length") == 0
    opened.one("#all").click()
    assert opened.run("return matching.length") == COUNT


def test_keys(opened):
    stage_ = opened.one("#stage")
    before = opened.run("return {...view}")
    stage_.send_keys("+", Keys.ARROW_RIGHT)
    after = opened.run("return {...view}")
    assert after["scale"] > before["scale"] and after["x"] > before["x"]
    stage_.send_keys("0")
    assert opened.run("return {...view}") == before
    stage_.send_keys("n", "n")
    second = opened.run("return held")
    stage_.send_keys("n", "p")
    assert second is not None and opened.run("return held") == second
    assert opened.one("#tip").is_displayed()
    stage_.send_keys(Keys.ESCAPE)
    assert opened.run("return held") is None
    reached = set()
    for _ in range(25):
        opened.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(opened.driver.switch_to.active_element.get_attribute("id"))
    assert {"theme", "in", "out", "whole", "show", "all", "none"} <= reached


def test_dragging_and_the_wheel_move_and_zoom(opened):
    before = opened.run("return {...view}")
    chain = ActionChains(opened.driver, duration=10)
    chain.move_to_element(opened.one("#stage")).click_and_hold().move_by_offset(80, 40).release()
    chain.scroll_from_origin(_origin(opened), 0, -300).perform()
    after = opened.run("return {...view}")
    assert after["scale"] > before["scale"]
    assert after["x"] < before["x"] and after["y"] > before["y"]


def test_paper_shows_the_points(opened):
    count = (
        "const c = document.getElementById('over'), p = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; return p.filter((v, i) => i % 4 === 3 && v).length"
    )
    before = opened.run(count)
    opened.run("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.run(count) > before + 20 * COUNT
    opened.run("window.dispatchEvent(new Event('afterprint'))")
    assert opened.run(count) == before


def _origin(browser):  # noqa: F811
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    return ScrollOrigin.from_element(browser.one("#stage"))


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_light_and_dark(browser, page, dark):  # noqa: F811
    browser.open(page, PHONE, dark=dark)
    browser.run("paintNow()")
    assert not browser.wider_than_window()
    ground = pixels(browser).getpixel((3, 600))
    assert (max(ground) < 60) == dark
    browser.run("hold(4)")
    load_or_make_splits(
        browser, "return document.getElementById('thumbnail').dataset.image === '4'"
    )
    box = browser.run("const b = tip.getBoundingClientRect(); return [b.left, b.right]")
    assert box[0] >= 0 and box[1] <= PHONE[0]
    assert complaints(browser) == []


A_CARD = "WebGL2RenderingContext.prototype.getParameter = () => 'a graphics card';"


def test_with_webgl(browser, page):  # noqa: F811
    """By one in software, which the page would not take if it knew."""
    script = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": A_CARD}
    )
    try:
        browser.open(page)
        browser.run("paintNow()")
        assert browser.run("return points.how") == "WebGL"
        test_it_renders_without_a_word_and_without_a_request(browser)
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
