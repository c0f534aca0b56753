"""Benchmarks are commands too: each is there, says how it is called, and finds what it imports."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "benchmarks" if path.stem == "__main__" else f"benchmarks.{path.stem}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "argparse.ArgumentParser(" in path.read_text()
]


@pytest.mark.parametrize("module", COMMANDS)
def test_it_says_how_it_is_called(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert f"python -m {module}" in result.stdout
