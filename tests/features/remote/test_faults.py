"""What stores do on bad days: it is repeated and counted, or said in one line; nothing is lost."""

import sys

import pytest

import features
from features.errors import DataError, MissingPackageError, UsageError
from features.remote import attempts, connections, stores
from features.remote.attempts import DeniedError, RemoteError
from features.sources import open_source, remote_files
from features.sources.remote_folder import RemoteFolderSource
from pipeline.commands.main import main
from tests.features.faults import stub
from tests.features.pictures import encode, solid
from tests.features.remote.server import once_each


@pytest.fixture
def source(bucket, photos):
    return bucket.put_folder(photos, "photos/")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("SlowDown", "slow down"), ("InternalError", "error of the server"), ("dropped", "wrong length"),
        ("short", "wrong content"), ("slow", "no answer in time"),
    ],
)  # fmt: skip
def test_what_fails_for_a_moment_is_repeated_and_counted(
    source, server, photos, tmp_path, monkeypatch, fault, reason
):
    if fault == "slow":
        monkeypatch.setitem(stores._S3["config_kwargs"], "read_timeout", 0.3)
    server.fault = once_each(fault)
    with stub.messages() as warnings:
        out = stub.extract(source, tmp_path / "out.h5")
    assert stub.datasets(out) == stub.datasets(stub.extract(photos, tmp_path / "local.h5"))
    assert [line for line in warnings if "repeated" in line] == [
        f"7 requests were repeated: 7 x {reason}"
    ]


def test_a_store_that_never_recovers_is_given_up_and_the_rest_is_done_later(
    source, server, photos, tmp_path
):
    out = tmp_path / "out.h5"
    server.fault = lambda method, path, number: "SlowDown" if path.endswith("dog/5.png") else None
    with pytest.raises(
        DataError, match=r"dog/5.png could not be reached: slow down, 6 times in a row; .*kept"
    ):
        stub.extract(source, out)
    assert sum(path.endswith("dog/5.png") for path in server.gets) == attempts.TRIES
    server.fault = lambda method, path, number: None
    server.requests.clear()
    stub.extract(source, out)
    assert not any("/cat/0.png" in path for path in server.gets)  # of the first shard
    assert stub.datasets(out) == stub.datasets(stub.extract(photos, tmp_path / "local.h5"))


def test_an_object_that_changes_while_it_is_read_stops_the_run(source, bucket, tmp_path):
    with open_source(source) as opened:
        bucket.put("photos/cat/0.png", encode(solid((1, 2, 3))))
        with pytest.raises(RemoteError, match="cat/0.png was changed by somebody"):
            opened.read(0)


def test_an_archive_that_changes_while_it_is_read_stops_the_run(bucket, tmp_path):
    from tests.features.sources.builders import files, write_tar, write_zip

    for write, name in ((write_zip, "a.zip"), (write_tar, "a.tar")):
        content = write(tmp_path / name, files()).read_bytes()
        with open_source(bucket.put(name, content)) as opened:
            bucket.put(name, content[:-1] + b"x")
            with pytest.raises(RemoteError, match=f"{name} was changed by somebody"):
                opened.read(0)


def test_images_that_changed_since_are_noticed_and_equal_ones_are_not_read_again(
    source, bucket, server, photos, tmp_path
):
    out = stub.extract(source, tmp_path / "out.h5")
    server.requests.clear()
    stub.extract(source, out)
    assert not any(path.endswith(".png") for path in server.gets)  # their ETags are in the recipe
    bucket.put("photos/cat/3.png", (photos / "cat" / "4.png").read_bytes())
    with pytest.raises(UsageError, match="other images than .*: cat/3.png has changed"):
        stub.extract(source, out)


def test_an_object_that_goes_while_images_are_read_stops_the_run(
    source, bucket, server, tmp_path, monkeypatch
):
    monkeypatch.setattr(RemoteFolderSource, "reading_threads", 1)

    def going(method, path, number):
        if path.endswith("/cat/0.png") and method == "GET":
            bucket._client.delete_object(Bucket=bucket.name, Key="photos/dog/9.png")

    server.fault = going
    with pytest.raises(DataError, match="dog/9.png has gone from s3://"):
        stub.extract(source, tmp_path / "out.h5")


def test_who_is_not_let_in_is_told_in_one_line(source, server, tmp_path, capsys):
    server.fault = lambda method, path, number: "AccessDenied"
    arguments = ["extract", source, "--out", str(tmp_path / "out.h5"), "--quiet"]
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        f"error: {source} cannot be had: access is denied; check the credentials, and what they may do\n"
    )


def test_without_credentials_one_line_says_where_they_are_looked_for(source, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    connections._store.cache_clear()
    with pytest.raises(DeniedError, match=r"needs credentials, .*AWS_PROFILE"):
        open_source(source)


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("s3://no-such-bucket/x", 2, "there is nothing at s3://no-such-bucket/x: no such bucket"),
        ("s3://no-such-bucket/x.zip", 2, "there is nothing at s3://no-such-bucket/x.zip"),
        ("s3://BAD_name!/x", 1, "s3://BAD_name!/x cannot be had: no name that the store can have"),
        ("ftp://host/x", 2, "ftp://host/x: ftp:// is not taken"),
        ("file:///tmp/x", 2, "file:///tmp/x: give the plain path, without file://"),
        ("gs://bucket/x", 1, 'gs:// needs gcsfs; `pip install "offshelf[remote]" gcsfs` brings it'),
    ],
)
def test_bad_addresses_are_one_line(server, tmp_path, monkeypatch, capsys, source, code, message):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert main(["extract", source, "--out", str(tmp_path / "out.h5"), "--quiet"]) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


def test_what_no_store_takes_is_said_in_one_line(capsys):
    assert main(["fetch", "cifar10", "--out", "s3://lab/cifar10.h5"]) == 2
    assert "expected a path on this machine" in capsys.readouterr().err


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    connections._store.cache_clear()
    with pytest.raises(
        MissingPackageError, match=r's3:// needs s3fs; `pip install "offshelf\[remote\]"`'
    ):
        open_source("s3://lab/x")


def test_when_no_web_server_is_reached_any_more_images_are_not_rejected(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote_files, "_MOST_IN_A_ROW", 5)
    monkeypatch.setattr(attempts, "TRIES", 2)
    image = encode(solid((1, 2, 3)))
    server.files |= {f"{number}.png": image for number in range(12)}
    manifest = tmp_path / "list.csv"
    rows = [f"{server.url}/web/{number}.png" for number in range(12)]
    manifest.write_text("path\n" + "\n".join(rows) + "\n")
    server.fault = lambda method, path, number: "SlowDown" if path.endswith("/3.png") else None
    out = stub.extract(manifest, tmp_path / "a.h5", max_rejected=0.2)
    with features.FeatureFile(out) as file:
        assert file.rejected == [
            (rows[3], "cannot be read: could not be reached: slow down, 2 times in a row")
        ]
    server.fault = lambda method, path, number: "SlowDown"
    with pytest.raises(DataError, match=r"\d+ in a row; is the network there"):
        stub.extract(manifest, tmp_path / "b.h5", max_rejected=1.0)


def test_images_beyond_the_memory_for_contents_are_read_in_turn(
    source, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("features.extraction.loading.MAX_BYTES", 20_000)  # three of the images
    out = stub.extract(source, tmp_path / "out.h5")
    assert stub.datasets(out) == stub.datasets(stub.extract(photos, tmp_path / "local.h5"))
