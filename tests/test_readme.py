"""The README starts as CI does, and is short."""

from tests.pages import ROOT, blocks

README = ROOT / "README.md"


def test_it_starts_with_two_commands():
    first, second = next(blocks(README)).commands
    assert first == "pip install . && python -m pipeline demo"
    assert second in (ROOT / ".ci" / "run").read_text().splitlines()


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_it_links_every_page_of_the_guide():
    generated = {"commands.md", "api.md"}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - generated
    assert {page for page in pages if f"(docs/{page})" in README.read_text()} == pages
