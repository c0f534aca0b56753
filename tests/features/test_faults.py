"""Whatever happens to a run, its rows are there in the end, each as it would have been.

`python -m tests.soak` does the same for longer.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from itertools import islice

import pytest

from features.errors import DataError, UsageError
from features.extraction.shards import Shards, partial_folder
from features.records import SHARDED, SINGLE
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.faults import disks, flips, kills, mutilation, reuse, stub

POSIX = pytest.mark.skipif(os.name == "nt", reason="has no fork, no links and no pipes")
IMAGES = 60  # eight shards of about 7 kB, and a file of 28 kB


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Twelve images: a shard of eight, and one of four."""
    return stub.images(tmp_path_factory.mktemp("few") / "images.npz", 12)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return stub.images(tmp_path_factory.mktemp("many") / "images.npz", IMAGES)


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory):
    """What an uninterrupted run makes of them."""
    return stub.extract(many, tmp_path_factory.mktemp("whole") / "whole.h5")


def test_every_operation_fails(few, tmp_path, capfd):
    assert sum(disks.failures(few, tmp_path, (errno.ENOSPC, errno.EIO))) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_operations_fail_while_shards_are_written_and_placed(few, tmp_path):
    lost = list(disks.failures(few, tmp_path, (errno.ENOSPC,), every=8, layout=SHARDED))
    assert len(lost) > 10 and sum(lost) == 0


def test_the_power_goes_before_every_operation(few, tmp_path):
    assert sum(disks.power_cuts(few, tmp_path, rounds=3)) == 0


def test_the_power_goes_while_another_file_is_replaced(few, tmp_path):
    assert sum(disks.power_cuts_replacing(few, tmp_path, rounds=2)) == 0


def test_the_power_goes_while_shards_take_the_place_of_others(few, tmp_path):
    lost = list(disks.power_cuts_replacing(few, tmp_path, rounds=2, layouts=(SHARDED,) * 2))
    assert len(lost) > 20 and sum(lost) == 0


@POSIX
@pytest.mark.parametrize(
    ("by", "layout", "count"),
    [("SIGKILL", SINGLE, 10), ("SIGINT", SINGLE, 10), ("SIGKILL", SHARDED, 5)],
)
def test_runs_are_ended_and_go_on(many, tmp_path, by, layout, count):
    lost = list(kills.kills(many, tmp_path, count, by=getattr(signal, by), layout=layout))
    assert lost == [0] * count


@POSIX
def test_every_mutilated_image_is_accounted_for(tmp_path):
    lost = list(mutilation.mutilated(tmp_path, 1000))
    assert lost == [0] * 300


@POSIX
@pytest.mark.parametrize(
    ("make", "read"),
    [(flips.feature_file, flips.read_file), (flips.shard, flips.read_shard)],
    ids=["feature file", "shard"],
)
def test_flipped_bits_are_found(make, read, tmp_path):
    lost = list(flips.flips(make, read, tmp_path, count=250))
    assert len(lost) > 200
    assert sum(lost) == 0


@pytest.mark.parametrize(
    ("faults", "number"),
    [(reuse.changed_sources, 60), (reuse.changed_shards, 20), (reuse.changed_cache, 1000)],
    ids=["source", "shard", "cache"],
)
def test_nothing_that_has_changed_is_reused(faults, number, tmp_path):
    assert list(islice(faults(tmp_path / "faults"), number)) == [0] * number


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of some kilobytes, or gives it another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={kilobytes}k", *options])]
        if subprocess.run([*command, "tmpfs", place], capture_output=True).returncode:
            pytest.skip("file systems cannot be mounted here")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)


def command(source, out, **options):
    """Run `extract` in a process of its own; return its exit code and what it said."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.features.faults.stub", "extract", source, "--out", out,
         "--quiet"], capture_output=True, text=True, **options,
    )  # fmt: skip
    lines = [line for line in result.stderr.splitlines() if "RANDOM WEIGHTS" not in line]
    return result.returncode, lines


def interrupted(monkeypatch, source, out, **options):
    """Extract until all shards are there, and no further."""

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "assemble", stop)
        with pytest.raises(KeyboardInterrupt):
            stub.extract(source, out, **options)


@pytest.mark.parametrize(
    ("shards", "files", "file_name"),
    [(0.5, 0, "0000000000.h5"), (4.5, 0, "0000000032.h5"), (8, 0.9, "out.h5")],
)
def test_a_disk_that_fills(
    small_disk, tmp_path, many, whole, monkeypatch, shards, files, file_name
):
    """It has room for so many shards, and for that share of the file."""
    interrupted(monkeypatch, many, tmp_path / "out.h5")
    shard = next(partial_folder(tmp_path / "out.h5").glob("*.h5")).stat().st_size
    pages = int(shards * (shard // 4096 + 1)) + int(files * (whole.stat().st_size // 4096))
    out = small_disk(4 * pages) / "out.h5"
    code, lines = command(many, out)
    assert code == 1
    assert len(lines) == 1
    kept = min(IMAGES, 8 * int(shards))
    assert (
        f"{file_name}: No space left on device; {kept} of {IMAGES} images are kept in" in lines[0]
    )
    assert "the same command goes on from there" in lines[0]
    small_disk(2000, "remount")
    assert stub.rows_lost_going_on(many, out, whole, kept) == 0


@POSIX
@pytest.mark.parametrize(
    ("limit", "file_name", "kept"), [(4_000, "0000000000.h5", 0), (16_000, "out.h5", IMAGES)]
)
def test_a_quota_that_is_met(tmp_path, many, whole, limit, file_name, kept):
    import resource

    out = tmp_path / "new" / "out.h5"
    code, lines = command(
        many, out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert code == 1
    assert len(lines) == 1
    assert f"{file_name}: File too large; {kept} of {IMAGES} images are kept in" in lines[0]
    assert stub.rows_lost_going_on(many, out, whole, kept) == 0


def _moved(source):
    source.rename(source.with_name("away"))


def _emptied(source):
    """As when a file system is unmounted: the folder stays, and nothing is in it."""
    _moved(source)
    source.mkdir()


def _half_removed(source):
    """As while it is being removed."""
    shutil.copytree(source, source.with_name("away"))
    shutil.rmtree(source / "2")


@pytest.mark.parametrize("vanish", [_moved, _emptied, _half_removed])
def test_a_source_that_vanishes(tmp_path, capsys, vanish):
    source, out = tmp_path / "images", tmp_path / "new" / "out.h5"
    mutilation.write_images(source, IMAGES)
    whole = stub.extract(source, tmp_path / "whole.h5")
    safe = []

    def keeping(covered):
        safe.append(covered)
        if covered == 16:
            vanish(source)

    with stub.stubbed(), stub.telling(keeping):
        code = main(["extract", str(source), "--out", str(out), "--quiet", *stub.ARGUMENTS])
    lines = [x for x in capsys.readouterr().err.splitlines() if "RANDOM WEIGHTS" not in x]
    assert code == 1
    assert len(lines) == 1
    assert f"; {safe[-1]} of {IMAGES} images are kept in" in lines[0]
    shutil.rmtree(source, ignore_errors=True)
    source.with_name("away").rename(source)
    assert stub.rows_lost_going_on(source, out, whole, safe[-1]) == 0


def test_a_run_that_replaces_a_file_goes_on_without_restart(few, tmp_path, monkeypatch, caplog):
    out, other = tmp_path / "new" / "out.h5", {"interpolation": "nearest"}
    stub.extract(few, out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="interpolation: bilinear -> nearest"):
        stub.extract(few, out, **other)
    interrupted(monkeypatch, few, out, restart=True, **other)
    assert "the same command without --restart goes on from there" in caplog.text
    assert out.read_bytes() == before
    whole = stub.extract(few, tmp_path / "whole.h5", **other)
    assert stub.rows_lost_going_on(few, out, whole, 12, **other) == 0


def test_a_restart_begins_anew(few, tmp_path, monkeypatch):
    out = tmp_path / "out.h5"
    interrupted(monkeypatch, few, out)
    with stub.telling((resumed := []).append):
        stub.extract(few, out, restart=True)
    assert resumed[0] == 0


def test_a_damaged_file_is_told_of_by_a_repeated_command(few, tmp_path):
    out = stub.extract(few, tmp_path / "out.h5")
    whole = out.read_bytes()
    with FeatureFile(out) as file:
        at = file._file["features/out_relu"].id.get_chunk_info(0).byte_offset
    out.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match=r"is damaged .*/features/out_relu.*--restart"):
        stub.extract(few, out)
    stub.extract(few, out, restart=True)
    assert stub.datasets(out)["features/out_relu"]


def test_what_a_kill_left_beside_a_whole_file_is_cleared_up(few, tmp_path, monkeypatch):
    out = tmp_path / "out.h5"
    interrupted(monkeypatch, few, out)
    left = shutil.copytree(partial_folder(out), tmp_path / "left")
    stub.extract(few, out)
    left.rename(partial_folder(out))
    stub.extract(few, out)
    assert list(tmp_path.iterdir()) == [out]
