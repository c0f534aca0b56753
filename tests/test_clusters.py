"""The cluster files of the examples are what Ray takes, and set up what its workers need."""

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.commands.parser import parser

pytest.importorskip("ray")
ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "examples" / "clusters").glob("*.yaml"))


def read(path):
    import yaml

    return yaml.safe_load(path.read_text("utf-8"))


def checked(config):
    """Do what `ray up` does with a file before it asks the cloud for anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ray_takes_the_file(path):
    prepared = checked(read(path))
    types = prepared["available_node_types"]
    assert prepared["provider"]["type"] == path.stem
    assert types["head"]["max_workers"] == 0
    assert 0 < types["worker"]["min_workers"] <= types["worker"]["max_workers"]
    assert types["worker"]["max_workers"] <= prepared["max_workers"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("spoiled", [{"idle_minutes": 3}, {"max_workers": 2}])
def test_a_spoiled_file_is_seen(path, spoiled):
    with pytest.raises(Exception, match=next(iter(spoiled))):
        checked(read(path) | spoiled)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nodes_get_offshelf_and_start_what_they_got(path):
    config = read(path)
    commands = config["setup_commands"]
    assert "python3 -m venv ~/venv" in commands
    (install,) = (command for command in commands if "pip install" in command)
    place, extras = re.search(r'"([^"]+)\[([\w,]+)\]"', install).groups()
    assert config["file_mounts"] == {place: "."}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*extras.split(",")} == {"ray", "remote"} <= project["optional-dependencies"].keys()
    (fetch,) = (command for command in commands if "-m pipeline" in command)
    parser().parse_args(fetch.partition("-m pipeline ")[2].split())
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("~/venv/bin/ray st" in command for command in starts)


def test_there_is_one_for_each_cloud_that_the_docs_name():
    named = re.findall(r"clusters/(\w+)\.yaml", (ROOT / "docs" / "scale.md").read_text("utf-8"))
    assert {*named} == {path.stem for path in FILES} == {"aws", "gcp"}
