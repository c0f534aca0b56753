"""Commands on a disk that is full, or in too little memory: one line, and nothing is half there."""

import contextlib
import errno
import io
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.commands.main import main
from tests.features.faults.disks import Failing
from tests.hostile.endings import COMMANDS

QUICK = ("compare", "report", "evaluate", "map", "advise")
ROOT = Path(__file__).parent.parent


def run(words: str) -> tuple[int, list[str]]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([*words.split(" "), "--quiet"])
    return code, [line for line in said.getvalue().splitlines() if "not shown" not in line]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", QUICK)
def test_every_operation_of_the_disk_fails_once(name, tmp_path, monkeypatch):
    command = COMMANDS[name]
    (tmp_path / "valid").mkdir()
    command.make(tmp_path / "valid")
    before = content(tmp_path / "valid")
    for at in range(100):
        folder = shutil.copytree(tmp_path / "valid", tmp_path / str(at))
        monkeypatch.chdir(folder)
        disk = Failing(at, errno.ENOSPC)
        with patch("features.disk.durable.disk", disk):
            code, lines = run(command.words)
        if not disk.failed:
            break
        if code == 0 and disk.failed == ["remove_folder"]:  # the next run tidies that up
            continue
        assert code in (1, 2), (disk.failed, lines)
        assert len(lines) == 1, lines
        assert "No space left on device" in lines[0]
        assert any(place in lines[0] for place in ("out", "results", "openings.json"))
        after = content(folder)
        assert all(after[path] == before[path] for path in before if "comparison" not in path)
        code, lines = run(command.words)
        assert (code, lines) == (0, [])
        assert not [path for path in content(folder) if path.endswith(".tmp")]
    assert at > 2


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system as Linux does")
def test_a_map_on_a_full_disk(tmp_path):
    """Its matrix is a memory map, for which the room is taken before it is written."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        COMMANDS["map"].make(tmp_path)
        shutil.copy(tmp_path / "in.h5", tmp_path / "a.h5")
        words = ["map", str(tmp_path / "in.h5"), "--out", str(place / "map.html"), "--quiet"]
        (place / "full").write_bytes(bytes(4096))
        result = subprocess.run(
            [sys.executable, "-m", "pipeline", *words], capture_output=True, text=True, cwd=ROOT
        )
    finally:
        subprocess.run(["umount", str(place)])
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device; make room there" in line
    assert str(place) in line


@pytest.mark.parametrize("name", ["classify", "map"])
def test_memory_that_runs_out_is_one_line(name, tmp_path, monkeypatch, capsys):
    def out_of_memory(config):
        raise MemoryError

    monkeypatch.setattr(f"pipeline.stages.{name}.run", out_of_memory)
    monkeypatch.chdir(tmp_path)
    words = {"classify": "classify in.h5 --out out", "map": "map in.h5 --out map.html"}[name]
    assert main([*words.split(" "), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "memory" in line
