"""Extraction by the workers of a Ray cluster on this machine."""

import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import pytest

import features
from features.errors import DataError, MissingPackageError, UsageError
from features.extraction import ray_cluster, ray_executor
from features.extraction.planning import plan_extraction
from features.extraction.ray_worker import Worker
from features.extraction.shards import Shards, partial_folder
from features.extraction.watch import ENDED
from pipeline.commands.main import main
from tests.features.faults import crashing, stub

os.environ["RAY_TQDM_PATCH_PRINT"] = "0"
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(240)

SMALL = {
    "backbone": "mobilenetv2",
    "weights": "none",
    "image_size": 32,
    "batch_size": 4,
    "progress": False,
}


class Ending(Worker):
    """A worker that ends at images which decode well."""

    def compute(self, ranges):
        for start, stop in list(ranges):
            if start == 8:
                os._exit(1)
            yield from super().compute([(start, stop)])


class Stillborn(Worker):
    """A worker that ends as soon as it begins."""

    def ready(self):
        os._exit(1)


class Crashing(Worker):
    """A worker in which images crash the decoder, see `crashing`."""

    def compute(self, ranges):
        with crashing.crashing():
            yield from super().compute(ranges)

    def find(self, notes):
        with crashing.crashing():
            return super().find(notes)


class Elsewhere(Worker):
    """A worker that writes where the driver does not see it."""

    def compute(self, ranges):
        for done in super().compute(ranges):
            self._parts[2]._path(done[0]).unlink()
            yield done


class Unlisting(Worker):
    """A worker that takes the driver's list, in memory that it shares with others."""

    @property
    def _parts(self):
        with patch("features.extraction.ray_worker.open_source", side_effect=AssertionError):
            plan, network, shards = Worker._parts.func(self)
        assert not plan.source.labels.flags.writeable
        return plan, network, shards


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    ray.init(
        "local", num_cpus=2, include_dashboard=False, object_store_memory=2**27, log_to_driver=False,
        configure_logging=False,
        _temp_dir=str(tmp_path_factory.mktemp("ray")) if sys.platform == "darwin" else None,
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 8)


def extract(source, out, **options):
    return features.extract(source, out, **(SMALL | options))


def by_ray(source, out, **options):
    return extract(source, out, executor="ray", **options)


@pytest.fixture
def local(photos, tmp_path):
    (photos / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return extract(photos, tmp_path / "local.h5", max_rejected=0.1)


def test_rows_equal_those_of_a_local_run_and_workers_that_die_are_replaced(
    cluster, local, photos, tmp_path, monkeypatch
):
    killed = []
    check = ray_executor._Crew._check_seen

    def killing(crew, start):
        check(crew, start)
        if not killed:
            killed.append(start)
            ray.kill(crew.actors[0])

    monkeypatch.setattr(ray_executor._Crew, "_check_seen", killing)
    out = by_ray(photos, tmp_path / "ray.h5", workers=2, max_rejected=0.1)
    assert killed
    assert stub.datasets(out) == stub.datasets(local)
    with features.FeatureFile(out) as file, features.FeatureFile(local) as other:
        assert file.problems() == [] and file.recipe == other.recipe
    assert not partial_folder(out).exists()


def test_shards_of_workers_stay_where_the_layout_says_so(cluster, local, photos, tmp_path):
    out = by_ray(photos, tmp_path / "ray.h5", workers=2, max_rejected=0.1, layout="sharded")
    assert stub.datasets(out) == stub.datasets(local)
    with features.FeatureFile(out) as file:
        assert file.problems() == [] and len(file.shards) == 3
    assert not partial_folder(out).exists()


def test_a_driver_that_is_stopped_goes_on(cluster, local, photos, tmp_path, monkeypatch):
    out = tmp_path / "ray.h5"
    take_over = Shards.take_over

    def stopping(shards, *rest):
        take_over(shards, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Shards, "take_over", stopping)
        by_ray(photos, out, max_rejected=0.1)
    assert list(partial_folder(out).glob("*.h5"))
    by_ray(photos, out, max_rejected=0.1)
    assert stub.datasets(out) == stub.datasets(local)


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (Ending, "2 workers ended at images 8 to 15, which none of them e"),
        (Stillborn, "workers end as soon as they begin .*is Offshelf ins"),
    ],
)
def test_workers_that_all_end_end_the_run_and_the_rest_is_kept(
    cluster, photos, tmp_path, monkeypatch, worker, message
):
    monkeypatch.setattr(ray_executor, "Worker", worker)
    monkeypatch.setattr(ray_executor, "_MOST_DEATHS", 2)
    with pytest.raises(DataError, match=message):
        by_ray(photos, tmp_path / "ray.h5", workers=1)


def test_images_that_crash_workers_are_found_and_rejected(
    cluster, photos, tmp_path, monkeypatch, caplog
):
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    bad = [paths[number] for number in (1, 5)]  # of one shard
    for path in bad:
        crashing.spoil(path)
    monkeypatch.setattr(ray_executor, "Worker", Crashing)
    monkeypatch.setattr(ray_executor, "_MOST_DEATHS", 2)
    out = by_ray(photos, tmp_path / "ray.h5", workers=1, max_rejected=0.5)
    with features.FeatureFile(out) as file:
        names = [path.relative_to(photos).as_posix() for path in bad]
        assert dict(file.rejected) == dict.fromkeys(names, f"{ENDED} (SIGSEGV)")
        assert len(file) == len(paths) - len(bad)
    assert all(f"{name} {ENDED} (SIGSEGV), and is rejected" in caplog.text for name in names)
    assert list(tmp_path.glob("ray.h5*")) == [out]


@pytest.mark.parametrize("limit", [None, 13])
def test_workers_neither_list_the_source_nor_hold_a_list(
    cluster, photos, tmp_path, monkeypatch, limit
):
    monkeypatch.setattr(ray_executor, "Worker", Unlisting)
    monkeypatch.chdir(photos.parent)
    out = by_ray(photos.name, tmp_path / "ray.h5", limit=limit)
    assert stub.datasets(out) == stub.datasets(extract(photos, tmp_path / "a.h5", limit=limit))


def test_a_source_that_cannot_travel_is_opened_by_each_worker(cluster, tmp_path):
    source = stub.images(tmp_path / "images.npz", 20)
    out = by_ray(source, tmp_path / "ray.h5", workers=2)
    assert stub.datasets(out) == stub.datasets(extract(source, tmp_path / "local.h5"))


def test_a_worker_that_does_not_see_the_source_or_sees_other_files_says_so(
    cluster, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with features.open_source(photos) as source:
        listed = [ray.put(source)]
        config = features.config.ExtractConfig(photos, tmp_path / "ray.h5", **SMALL)
        recipe = plan_extraction(config, source).recipe.to_json()
    partial_folder(config.out).mkdir()
    cpus = os.cpu_count() or 1
    elsewhere = replace(config, source=tmp_path / "elsewhere")
    worker = Worker(elsewhere, recipe, 8, tmp_path, "note", 0, cpus, listed)
    with pytest.raises(DataError, match=f"there is nothing at {elsewhere.source} on "):
        next(worker.compute([(0, 8)]))
    photo = photos / source[9].id
    photo.write_bytes(photo.read_bytes() + b"more")
    worker = Worker(config, recipe, 8, tmp_path, "note", 0, cpus, listed)
    assert [start for start, *_ in worker.compute([(0, 8)])] == [0]
    with pytest.raises(DataError, match=f"{source[9].id} has .* bytes, and had .* was listed"):
        next(worker.compute([(8, 16)]))
    photo.unlink()
    with pytest.raises(DataError, match=f"{source[9].id} has gone from {photos}"):
        next(worker.compute([(8, 16)]))


def test_a_worker_that_found_no_room_leaves_nothing_behind(
    cluster, local, photos, tmp_path, monkeypatch
):
    count_start, left = ray_executor._Crew._count_start, []

    def slowly(crew, error):
        time.sleep(1)  # the run has ended meanwhile
        count_start(crew, error)

    @contextmanager
    def connected(*arguments):
        with ray_cluster.connected(*arguments) as here:
            yield here
            left.extend(t for t in threading.enumerate() if t.name == "crew")

    monkeypatch.setattr(ray_executor._Crew, "_count_start", slowly)
    monkeypatch.setattr(ray_executor, "ray_cluster", SimpleNamespace(connected=connected))
    other = ray.remote(Worker).options(num_cpus=1).remote(*range(8))
    ray.get(other.ready.remote())
    out = by_ray(photos, tmp_path / "ray.h5", workers=2, max_rejected=0.1)
    ray.kill(other)
    assert not left
    assert stub.datasets(out) == stub.datasets(local)


def test_workers_that_write_elsewhere_are_noticed(cluster, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_executor, "Worker", Elsewhere)
    with pytest.raises(DataError, match="on its own machine; give an --out in a folder that all"):
        by_ray(photos, tmp_path / "ray.h5")


def test_gpus_that_the_cluster_does_not_have_are_one_line(cluster, photos, tmp_path):
    with pytest.raises(UsageError, match="--gpus-per-worker 1: the cluster has 0 GPUs"):
        by_ray(photos, tmp_path / "ray.h5", gpus_per_worker=1)


def test_a_worker_that_would_compute_other_rows_says_so(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = features.config.ExtractConfig(photos, tmp_path / "ray.h5", **SMALL)
    with features.open_source(photos) as source:
        plan = plan_extraction(config, source)
    other = replace(plan.recipe, engine="abacus").to_json()
    worker = Worker(config, other, 8, tmp_path, "note", 0, os.cpu_count() or 1, [])
    with pytest.raises(DataError, match=r"would compute other rows \(engine: abacus ->"):
        next(worker.compute([(0, 8)]))


def test_an_address_where_no_cluster_is_and_options_without_ray_are_one_line(
    photos, tmp_path, capsys, monkeypatch
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ["extract", str(photos), "--out", str(tmp_path / "ray.h5"), "--quiet"]
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert main([*arguments, "--executor", "ray", "--ray-address", address]) == 1
    assert capsys.readouterr().err.startswith(f"error: no Ray cluster at {address}: ")
    assert main([*arguments, "--workers", "2"]) == 2
    assert "--workers: only workers of Ray have it; give --executor ray" in capsys.readouterr().err
    assert main([*arguments, "--executor", "ray", "--precision", "int8"]) == 2
    assert "--precision int8 is calibrated by the machine" in capsys.readouterr().err


def test_without_ray_one_line_says_what_to_install(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[ray\]"'):
        by_ray(photos, tmp_path / "ray.h5")


def test_parts_become_smaller_and_what_a_worker_left_comes_first():
    waiting = ray_executor._Waiting(2)
    waiting.put([(start, start + 1) for start in range(8)])
    first = waiting.take()
    assert first.ranges == [(0, 1), (1, 2)]
    assert len(waiting.take().ranges) == 2
    waiting.put_back(ray_executor._Work(first.ranges, ["a note"]))
    begun = waiting.take()
    assert (begun.ranges, begun.notes) == ([(0, 1)], ["a note"])
    left = []
    for _ in range(4):
        left += waiting.take().ranges
    assert left == [(1, 2), *((start, start + 1) for start in range(4, 8))]
    waiting.close()
    assert waiting.take() is None
    alone = ray_executor._Waiting(1)
    alone.put([(0, 1), (1, 2)])
    assert len(alone.take().ranges) == 2
