"""Shards of a feature file in a store: any machine goes on from them, and workers put theirs there."""

import os

import pytest

import features
from features.extraction import ray_worker
from features.extraction.ray_worker import Worker
from features.extraction.shards import Shards, partial_folder
from features.remote.location import as_remote
from features.sources import open_source
from tests.features.faults import stub


def test_another_machine_goes_on_with_a_run_that_was_stopped(
    bucket, server, photos, tmp_path, monkeypatch
):
    out, write = f"{bucket.url}/out.h5", Shards.write

    def stopping(shards, start, *rest):
        if start == 16:
            raise KeyboardInterrupt
        write(shards, start, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stop:
        patch.setattr(Shards, "write", stopping)
        stub.extract(photos, out)
    assert f"16 of 20 images are kept in {out}.partial" in stop.value.__notes__[0]
    bucket.put("out.h5.partial/notes.txt", b"somebody's")
    monkeypatch.setenv("OFFSHELF_CACHE", str(tmp_path / "another machine"))
    computed = []
    monkeypatch.setattr(
        Shards, "write", lambda s, start, *rest: (computed.append(start), write(s, start, *rest))
    )
    stub.extract(photos, out)
    assert computed == [16]
    assert bucket.keys() == ["out.h5", "out.h5.partial/notes.txt"]  # what we did not write stays
    (tmp_path / "fetched.h5").write_bytes(bucket.get("out.h5"))
    local = stub.extract(photos, tmp_path / "local.h5")
    assert stub.datasets(tmp_path / "fetched.h5") == stub.datasets(local)


def test_workers_of_other_machines_put_their_shards_where_the_driver_sees_them(
    bucket, photos, tmp_path, monkeypatch
):
    out, options = f"{bucket.url}/out.h5", stub.OPTIONS | {"progress": False}
    config = features.config.ExtractConfig(photos, out, **options)
    monkeypatch.chdir(tmp_path)
    with stub.stubbed(), open_source(photos) as source:
        plan = ray_worker.plan_extraction(config, source)
        monkeypatch.setattr(ray_worker, "compile_model", stub.compiled)
        driver = Shards(config.out, plan.recipe, len(source), 8)
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("OFFSHELF_CACHE", str(tmp_path / "another machine"))
            recipe, cpus = plan.recipe.to_json(), os.cpu_count() or 1
            worker = Worker(config, recipe, 8, tmp_path, "worker", 0, cpus, [])
            done = list(worker.compute([(0, 8), (16, 20)]))
            assert not list(partial_folder(config.out).iterdir())  # nothing is left there
        assert [driver.is_written(start) for start in (0, 8, 16)] == [True, False, True]
        for start, _, size, notes in done:
            driver.take_over(start, size, notes)
        assert driver.missing() == [(8, 16)]
    stub.extract(photos, out)
    assert bucket.keys() == ["out.h5"]
    assert not as_remote(f"{out}.partial/0000000000.h5").exists()
    (tmp_path / "fetched.h5").write_bytes(bucket.get("out.h5"))
    local = stub.extract(photos, tmp_path / "local.h5")
    assert stub.datasets(tmp_path / "fetched.h5") == stub.datasets(local)


def test_a_run_with_other_settings_is_refused_and_restart_discards_the_shards(
    bucket, photos, tmp_path, monkeypatch
):
    out, write = f"{bucket.url}/out.h5", Shards.write

    def stopping(shards, start, *rest):
        write(shards, start, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Shards, "write", stopping)
        stub.extract(photos, out)
    monkeypatch.setenv("OFFSHELF_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(features.UsageError, match="was made with other settings .*resize"):
        stub.extract(photos, out, resize="crop")
    stub.extract(photos, out, resize="crop", restart=True)
    with features.FeatureFile(out) as file:
        assert file.recipe.resize == "crop" and len(file) == 20
    assert bucket.keys() == ["out.h5"]
