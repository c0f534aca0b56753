"""What the README and the documentation say is true: commands, Python, links, the site."""

import argparse
import dataclasses
import json
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pandas
import pytest

import features
import pipeline
from features.records import Recipe
from pipeline.commands.parser import parser
from tests.pages import ROOT, blocks, check_command, check_python, run

README, CONTRIBUTING, TOUR = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "index.md",
)
GUIDE = [page for page in sorted((ROOT / "docs").glob("*.md")) if page != TOUR]
ALL = [README, CONTRIBUTING, TOUR, *GUIDE]
FEATURES = (ROOT / "docs" / "feature-file.md").read_text()
RESULTS = (ROOT / "docs" / "results-folder.md").read_text()
BLOCKS = [block for page in ALL for block in blocks(page)]
MADE_AT_BUILD = "commands.md"


def bundled_photos(folder: Path) -> None:
    """Write `photos/` with 18 images of three classes each, and `photos.csv` that lists them."""
    lines = ["path,label,patient"]
    with zipfile.ZipFile(ROOT / "examples" / "cifar10-2000.zip") as archive:
        for label in ("cat", "dog", "ship"):
            names = [name for name in archive.namelist() if name.startswith(f"train/{label}/")]
            (folder / "photos" / label).mkdir(parents=True)
            for number, name in enumerate(names[:18]):
                path = f"photos/{label}/{number}.png"
                (folder / path).write_bytes(archive.read(name))
                lines.append(f"{path},{label},{label}-{number // 3}")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")


def fields(path: Path) -> set[str]:
    """What a file of a results folder calls its columns or fields, as the documentation does."""
    if path.suffix == ".json":
        facts = json.loads(path.read_text())
        inner = [row for rows in facts.values() if isinstance(rows, list) for row in rows[:1]]
        names = {*facts, *(name for row in inner if isinstance(row, dict) for name in row)}
    elif path.suffix in (".csv", ".parquet"):
        reader = pandas.read_csv if path.suffix == ".csv" else pandas.read_parquet
        names = {name for name in reader(path) if not name.startswith("p:")}
    else:
        names = set()
    return {re.sub(r"_(low|high)$", "", name) for name in names}


def datasets(path: Path) -> set[str]:
    """The datasets and attributes of a feature file, as the documentation calls them."""
    names: set[str] = set()
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.add(f"/{name}") if isinstance(item, h5py.Dataset) else None
        )
        names |= {*file.attrs}
    return {re.sub("^/features/.+", "/features/<layer>", name) for name in names}


@pytest.mark.timeout(900)
def test_what_pages_say_runs(real_weights, tmp_path, monkeypatch, subtests):
    """The tour makes feature files and results; each other page starts with a copy of them."""
    real_weights("resnet50")
    real_weights("vgg16")
    monkeypatch.setenv("MPLBACKEND", "agg")
    start = tmp_path / "start"
    start.mkdir()
    (start / "examples").symlink_to(ROOT / "examples")
    bundled_photos(start)
    for page, before in [
        (TOUR, start),
        (README, start),
        *((page, tmp_path / TOUR.stem) for page in GUIDE),
    ]:
        with subtests.test(page=page.name):
            folder = tmp_path / page.stem
            shutil.copytree(before, folder, symlinks=True)
            monkeypatch.chdir(folder)
            run(page)
    with subtests.test(fields="r50.h5"):
        names = datasets(tmp_path / "index" / "r50.h5")
        assert not {name for name in names if f"`{name}`" not in FEATURES}
    for results in ("index/results", "networks/results-lenet", "analysis/analysis"):
        for path in sorted(path for path in (tmp_path / results).rglob("*") if path.is_file()):
            with subtests.test(fields=f"{path.parent.name}/{path.name}"):
                assert path.name in RESULTS or f", {path.suffix} " in RESULTS
                assert not {name for name in fields(path) if f"`{name}`" not in RESULTS}


def test_every_field_of_a_recipe_is_described():
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    assert not {name for name in recipe if f"`{name}`" not in FEATURES}


@pytest.mark.parametrize("command", dict.fromkeys(c for block in BLOCKS for c in block.commands))
def test_commands_are_understood(command):
    check_command(command)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"],
    ids=lambda block: f"{block.page.name}:{block.line}",
)  # fmt: skip
def test_calls_have_arguments_that_exist(block):
    check_python(block.text)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page):
    text = page.read_text()
    assert text.count("```") == 2 * len(list(blocks(page)))
    assert {block.language for block in blocks(page)} <= {"sh", "python", "text", "csv"}
    assert text.count("<!-- not run: ") == sum(bool(block.not_run) for block in blocks(page))


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert (page.parent / link).exists() or link == MADE_AT_BUILD, link


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    named = r"`((?:features|pipeline|docs|benchmarks)/[\w/]*(?:\.py)?)`"
    for path in re.findall(named, page.read_text()):
        assert (ROOT / path).exists(), path


def test_the_site_has_every_page():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted([TOUR.name, MADE_AT_BUILD, *(page.name for page in GUIDE)])


def test_the_site_is_made_and_seen_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("material", reason='the site needs `pip install ".[docs]"`')
    for protocol in ("http", "https"):
        monkeypatch.setenv(f"{protocol}_proxy", "http://127.0.0.1:9")  # where nobody answers
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = sorted(tmp_path.glob("**/*.html"))
    assert tmp_path / "commands" / "index.html" in pages
    for page in pages:
        text = page.read_text()
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"([^\"]+)", text)
        assert loaded and not [link for link in loaded if "//" in link], page


def test_every_command_and_option_is_in_the_reference():
    reference = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["command_reference"]()

    def look(command: argparse.ArgumentParser, name: str) -> None:
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub, sub_parser in action.choices.items():
                    assert re.search(rf"^##+ {name}{sub}$", reference, re.MULTILINE)
                    look(sub_parser, f"{name}{sub} ")
            elif name and action.help != argparse.SUPPRESS:
                section = reference.partition(f"# {name.strip()}\n")[2].partition("\n#")[0]
                assert all(option in section for option in action.option_strings)

    look(parser(), "")


@pytest.mark.parametrize("package", [features, pipeline], ids=lambda package: package.__name__)
def test_every_public_name_is_in_the_reference(package):
    """By the name itself, or by the module that defines it."""
    page = (ROOT / "docs" / "api.md").read_text()
    for name in getattr(package, "__all__", ()):
        module = getattr(package, name).__module__
        assert re.search(rf"^::: ({module}|\S+\.{name})$", page, re.MULTILINE), name
