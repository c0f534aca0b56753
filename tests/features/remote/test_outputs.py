"""Feature files in a store: whole or not there, fetched once, and nothing secret in what is written."""

import logging

import numpy as np
import pytest

import features
import pipeline
from features.errors import DataError, UsageError
from features.extraction.consolidating import consolidate
from features.processes.packages import cache_folder
from features.remote import cache as remote_cache
from features.remote import connections, stores
from features.remote.checksums import etag_of
from features.remote.location import as_remote
from features.remote.schemes import shown
from pipeline.commands.main import main
from pipeline.config import PredictConfig
from pipeline.predictors.sources import open_images
from tests.features.faults import stub
from tests.features.remote.conftest import SECRET


@pytest.fixture
def stored(bucket, photos, tmp_path):
    """The URL of a feature file, which is not in the cache."""
    local = stub.extract(photos, tmp_path / "local.h5")
    return bucket.put("out.h5", local.read_bytes())


def fetches(server) -> int:
    return sum(
        method == "GET" and part.startswith("bytes=0-") for method, _, part in server.requests
    )


def test_a_run_that_was_stopped_goes_on_and_uploads_at_the_end(bucket, server, photos, tmp_path):
    out = f"{bucket.url}/out.h5"
    (photos / "dog" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="more than --max-rejected"):
        stub.extract(photos, out, max_rejected=0)
    server.requests.clear()
    stub.extract(photos, out)
    assert not any(method == "PUT" for method, _, _ in server.requests)  # it was there already


def test_an_upload_that_fails_leaves_the_old_object_and_the_work(
    bucket, server, photos, tmp_path, monkeypatch
):
    out = bucket.put("out.h5", stub.extract(photos, tmp_path / "old.h5", limit=8).read_bytes())
    before = bucket.etag("out.h5")
    monkeypatch.setattr("features.remote.attempts.TRIES", 2)
    server.fault = lambda method, path, number: (
        "AccessDenied" if method == "PUT" and path.endswith("out.h5") else None
    )
    with pytest.raises(
        DataError, match=r"access is denied.*20 of 20 images are kept in s3://.*out.h5.partial;"
    ):
        stub.extract(photos, out, restart=True)
    assert bucket.etag("out.h5") == before
    assert len(bucket.keys("out.h5.partial/")) == 3
    server.fault = lambda method, path, number: None
    stub.extract(photos, out)
    assert bucket.etag("out.h5") != before and bucket.keys() == ["out.h5"]
    with features.FeatureFile(out) as file:
        assert len(file) == 20 and file.problems() == []


def test_what_is_no_feature_file_is_neither_fetched_nor_overwritten(bucket, server, photos):
    out = bucket.put("out.h5", b"somebody's thesis" * 1000)
    with pytest.raises(
        UsageError, match="is no HDF5 file, and was not fetched; it is not overwritten"
    ):
        stub.extract(photos, out)
    assert bucket.get("out.h5").startswith(b"somebody's thesis")


def test_where_it_cannot_be_written_is_said_before_any_work(bucket, server, photos):
    for out, message in {
        "s3://no-such-bucket/out.h5": "no such bucket", bucket.url: "is a bucket",
        f"{server.url}/web/out.h5": "cannot be written to",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=message):
            stub.extract(photos, out)


def test_a_file_is_fetched_once_for_each_version_of_it(stored, bucket, server, photos, tmp_path):
    for _ in range(3):
        with features.FeatureFile(stored) as file:
            assert len(file) == 20 and file.problems() == []
    assert fetches(server) == 2  # its first bytes, then all
    bucket.put("out.h5", stub.extract(photos, tmp_path / "new.h5", limit=5).read_bytes())
    with features.FeatureFile(stored) as file:
        assert len(file) == 5
    assert len([*(cache_folder() / "remote").rglob("*.h5")]) == 1


def test_a_file_that_changed_in_the_cache_is_fetched_anew(stored, server):
    features.FeatureFile(stored).close()
    kept = next((cache_folder() / "remote").rglob("*.h5"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    remote_cache._checked.clear()
    with stub.messages() as warnings, features.FeatureFile(stored) as file:
        assert file.problems() == []
    assert any("has changed in the cache" in line for line in warnings)


def test_what_was_just_uploaded_is_not_fetched_again(bucket, server, photos):
    out = f"{bucket.url}/out.h5"
    stub.extract(photos, out)
    assert not any(path.endswith("out.h5") for path in server.gets)
    with features.FeatureFile(out) as file:
        assert file.problems() == []


def test_shards_in_a_store_are_copied_there_and_fetched_when_they_are_asked_for(
    bucket, server, photos, tmp_path
):
    out, local = f"{bucket.url}/out.h5", stub.extract(photos, tmp_path / "local.h5")
    stub.extract(photos, out, layout="sharded")
    names = bucket.keys("out.h5.shards/")
    assert len(names) == 3 and not bucket.keys("out.h5.partial/")
    server.requests.clear()
    with features.FeatureFile(out) as file, features.FeatureFile(local) as other:
        assert file.ids == other.ids
        assert not any("out.h5.shards" in path for path in server.gets)
        np.testing.assert_array_equal(file.features(rows=slice(9, 12)), other.features()[9:12])
        assert {path.rpartition("/")[2] for path in server.gets if "out.h5.shards" in path} == {
            names[1].rpartition("/")[2]
        }
        np.testing.assert_array_equal(file.features(), other.features())
        assert file.problems() == []
    stub.extract(photos, out, layout="sharded", restart=True, interpolation="nearest")
    assert len(bucket.keys("out.h5.shards/")) == 3
    assert not {*names} & {*bucket.keys("out.h5.shards/")}
    consolidate(as_remote(out), tmp_path / "one.h5", progress=False)
    whole = stub.extract(photos, tmp_path / "whole.h5", interpolation="nearest")
    assert stub.datasets(tmp_path / "one.h5") == stub.datasets(whole)
    many = as_remote(f"{bucket.url}/many.h5")
    consolidate(whole, many, progress=False)
    with features.FeatureFile(many) as file:
        assert file.problems() == [] and len(file.shards) == 1


def test_a_large_file_goes_in_parts(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "PART_BYTES", 5 * 2**20)
    local = tmp_path / "large.bin"
    local.write_bytes(content := np.random.default_rng(0).bytes(11 * 2**20))
    path = as_remote(f"{bucket.url}/large.bin")
    store = connections.store_of("s3")
    store.put(local, path, lambda count: None)
    assert bucket.get("large.bin") == content
    assert bucket.etag("large.bin").endswith("-3")
    assert store.is_content_of(local, path.stat())
    assert etag_of(local, 5 * 2**20) == bucket.etag("large.bin")
    assert remote_cache.fetched(path).read_bytes() == content


def test_classify_learns_from_a_store_and_its_record_names_it(bucket, photos, tmp_path):
    local = features.extract(photos, tmp_path / "local.h5", progress=False, **stub.OPTIONS)
    stored, results = bucket.put("out.h5", local.read_bytes()), tmp_path / "results"
    given = {"classifiers": "nearest-centroid", "tune": False, "folds": 2}
    pipeline.classify(stored, results, **given)
    comparison = pipeline.compare(results)
    assert comparison.ranking.entries[0].record.inputs["file"] == stored
    main(["report", str(results), "--out", str(tmp_path / "page.html"), "--quiet"])
    assert "say with --features" not in (tmp_path / "page.html").read_text()


def test_predict_takes_images_from_a_store(bucket, photos):
    source = bucket.put_folder(photos, "photos/")
    config = PredictConfig("results", source)
    with open_images(config.images) as images:
        assert len(images) == 20
    with pytest.raises(UsageError, match="stands beside other paths"):
        open_images((source, "a.png"))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://host/a.jpg?id=1&size=big", "https://host/a.jpg?id=1&size=big"),
        ("https://me:pass@host:8/a.jpg", "https://host:8/a.jpg"),
        ("https://host/a.jpg?X-Amz-Signature=abc&X-Amz-Credential=k", "https://host/a.jpg"),
        ("https://host/a.jpg?sv=1&sig=abc", "https://host/a.jpg"),
        ("https://host/a.jpg?anything=0123456789abcdef0123456789", "https://host/a.jpg"),
        ("https://host/a.jpg?token=x#part", "https://host/a.jpg"),
        ("s3://key:secret@bucket/a?b.jpg", "s3://bucket/a?b.jpg"),
        ("S3://bucket/a.jpg", "s3://bucket/a.jpg"),
    ],
)
def test_urls_are_shown_without_secrets(url, text):
    assert shown(url) == text


def test_nothing_secret_is_written_or_said(bucket, server, photos, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    userinfo, signed = "user:hunter2", "X-Amz-Signature=5ecre75ecre7&X-Amz-Credential=AKIAHUNTER2"
    web = server.url.replace("http://", f"http://{userinfo}@")
    for path in photos.rglob("*.png"):
        server.files[f"{path.parent.name}-{path.name}"] = path.read_bytes()
    rows = [f"{web}/web/{name}?{signed}" for name in [*server.files, "none.png"]]
    manifest = "path,label\n" + "".join(f"{row},{i % 2}\n" for i, row in enumerate(rows))
    server.files["list.csv"] = manifest.encode()
    out = f"{bucket.url}/out.h5"
    source = f"{web}/web/list.csv?{signed}"
    stub.extract(source, out)
    with pytest.raises(UsageError):
        stub.extract(source, out, limit=3)
    server.fault = lambda method, path, number: "AccessDenied"
    for wrong in (source, f"{web}/web/x.zip?{signed}", f"{web}/web/dir?{signed}"):
        main(["extract", wrong, "--out", str(tmp_path / "x.h5")])
    server.fault = lambda method, path, number: None
    main(["inspect", out])
    (tmp_path / "fetched.h5").write_bytes(bucket.get("out.h5"))
    said = caplog.text + "".join(capfd.readouterr())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 3 and "list.csv" in said
    for secret in ("hunter2", "5ecre75ecre7", "AKIAHUNTER2", SECRET, "AKIAIOSFODNN7EXAMPLE"):
        assert secret not in said
        assert not [path for path in written if secret.encode() in path.read_bytes()]
    with features.FeatureFile(out) as file:
        assert file.ids[0].startswith(f"{server.url}/web/")
        assert secret not in "".join(file.ids)
