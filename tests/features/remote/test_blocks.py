"""Neighbours in a remote archive come by one request, and give what each of them gives alone."""

import zipfile

import numpy as np
import pytest

import features
from features.errors import DataError
from features.sources import blocks, open_source
from tests.features.faults import stub
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_tar, write_zip

WRITERS = {"a.zip": write_zip, "a.tar": write_tar}


def members(photos) -> dict[str, bytes]:
    return {
        path.relative_to(photos).as_posix(): path.read_bytes() for path in photos.rglob("*.png")
    }


def in_store(bucket, local):
    return bucket.put(local.name, local.read_bytes())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("order", ["sorted", "reversed", "far apart"])
@pytest.mark.parametrize("limit", [None, 7])
def test_rows_are_those_of_the_disk_by_few_requests(
    bucket, server, photos, tmp_path, monkeypatch, name, order, limit
):
    monkeypatch.setattr(blocks, "MOST_BYTES", 15_000)  # two or three images
    contents = dict(sorted(members(photos).items(), reverse=order == "reversed"))
    if order == "far apart":
        filler = np.random.default_rng(0).bytes(blocks.MOST_GAP + 1)
        contents = {
            key: value
            for number, (image, content) in enumerate(contents.items())
            for key, value in ((image, content), (f"{number}.bin.txt", filler))
        }
    local = WRITERS[name](tmp_path / name, contents)
    url = in_store(bucket, local)
    server.requests.clear()
    out = stub.extract(url, tmp_path / "out.h5", limit=limit)
    requests = len([path for path in server.gets if path.endswith(name)])
    assert stub.datasets(out) == stub.datasets(stub.extract(local, tmp_path / "l.h5", limit=limit))
    if limit is None:
        assert (requests < 16) == (order == "sorted")


@pytest.mark.parametrize("damage", ["content", "header"])
def test_a_damaged_member_costs_its_own_image_alone(bucket, server, photos, tmp_path, damage):
    local = write_zip(tmp_path / "a.zip", members(photos))
    content = bytearray(local.read_bytes())
    where = content.index(b"cat/3.png")
    content[where + 900 if damage == "content" else where - 4] ^= 0xFF
    local.write_bytes(content)
    out = stub.extract(in_store(bucket, local), tmp_path / "out.h5", max_rejected=0.1)
    with features.FeatureFile(out) as file:
        assert [image for image, _ in file.rejected] == ["cat/3.png"]
        assert len(file) == 19


def test_a_member_whose_header_is_longer_than_expected_is_read_whole(bucket, photos, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(members(photos).items()):
            member = zipfile.ZipInfo(name)
            member.extra = b"\xfe\xca" + (4000).to_bytes(2, "little") + bytes(4000)
            archive.writestr(member, content)
    out = stub.extract(in_store(bucket, path), tmp_path / "out.h5")
    assert stub.datasets(out) == stub.datasets(stub.extract(path, tmp_path / "local.h5"))


def test_labels_of_a_tar_need_no_requests_of_their_own(bucket, server, tmp_path):
    contents: dict[str, bytes] = {}
    for number in range(50):
        contents[f"{number:03}.png"] = encode(solid((number, 1, 2)))
        contents[f"{number:03}.json"] = b'{"label": "cat"}'
        contents[f"{number:03}.cls"] = b"dog"
    shards = [write_tar(tmp_path / f"{number}.tar", contents) for number in range(6)]
    for shard in shards:
        in_store(bucket, shard)
    server.requests.clear()
    with open_source(f"{bucket.url}/{{0..5}}.tar") as source:
        assert source.class_names == ("dog",)
        assert len(source) == 300 and source[299].id == "5/049.png"
        assert source.read(299) == contents["049.png"]
    assert len(server.gets) == 7


def test_a_zip_is_opened_by_two_requests(bucket, server, photos, tmp_path):
    url = in_store(bucket, write_zip(tmp_path / "a.zip", members(photos)))
    server.requests.clear()
    with open_source(url):
        assert [method for method, _, _ in server.requests] == ["HEAD", "GET"]


def test_an_archive_that_goes_or_changes_meanwhile_ends_the_run(bucket, photos, tmp_path):
    for name, write in WRITERS.items():
        content = write(tmp_path / name, members(photos)).read_bytes()
        for change, message in (
            (lambda key, _: bucket._client.delete_object(Bucket=bucket.name, Key=key), "vanished"),
            (lambda key, content: bucket.put(key, content[:-1] + b"x"), "changed by somebody"),
        ):
            with open_source(bucket.put(name, content)) as source:
                images, span = next(blocks.runs(source, range(len(source))))
                assert len(images) > 1
                change(name, content)
                with pytest.raises(DataError, match=f"{name} .*{message}"):
                    blocks.Block(span)
