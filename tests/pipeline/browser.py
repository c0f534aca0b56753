"""Pages in a real browser, Debian's Chromium without a window; skipped where it is not installed.

A test module that wants the fixture imports it: `from tests.pipeline.browser import browser`.
"""

import json
import shutil
from pathlib import Path

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP, PHONE = (1280, 900), (390, 844)


class Browser:
    """One Chromium with an empty profile; `driver` is selenium's."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))

    def open(self, page: "Path | str", size=DESKTOP, dark=False) -> None:
        """Show a page, by path or address, in a window of a size, with colours light or dark."""
        width, height = size
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])
        for log in ("browser", "performance"):
            self.driver.get_log(log)  # what came before is not this page's
        self.driver.get(page if isinstance(page, str) else page.resolve().as_uri())

    def run(self, script: str, *arguments):
        """Return what a script's `return` gives."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list:
        """Return the elements that a CSS selector finds."""
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def complaints(self) -> list[str]:
        """Return what the page wrote to the console since it was opened."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return what the page asked for since it was opened, but for itself and what it holds."""
        messages = [
            json.loads(line["message"])["message"] for line in self.driver.get_log("performance")
        ]
        urls = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        held = ("data:", "blob:", self.driver.current_url.partition("#")[0])
        return [url for url in urls if not url.startswith(held)]

    def wider_than_window(self) -> bool:
        """Tell whether the page as a whole scrolls sideways."""
        return self.run("return document.documentElement.scrollWidth > window.innerWidth")

    def _tell(self, command: str, **arguments) -> None:
        self.driver.execute_cdp_cmd(command, arguments)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser for the tests of a module."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason='selenium is not installed: pip install ".[test]"')
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.driver.quit()
