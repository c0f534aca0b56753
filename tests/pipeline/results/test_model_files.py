"""Models that would need far more memory than they have bytes are not read."""

import dataclasses
import json
import zipfile

import pytest

from features.errors import DataError
from features.processes.packages import sha256_of
from pipeline.commands.main import main
from pipeline.results import model_files
from pipeline.results.model_files import check_archive
from pipeline.results.records import read_record, write_record
from tests.pipeline import candidates

NAME = "vgg16.pool.logistic"


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_what_is_stored_as_it_is_may_be_read(tmp_path):
    check_archive(archive(tmp_path / "m", {"schema.json": "{}", "1.npy": bytes(1000)}))


def test_packed_parts_and_large_json_are_refused(tmp_path, monkeypatch):
    packed = archive(tmp_path / "m", {"schema.json": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is packed"):
        check_archive(packed)
    large = archive(tmp_path / "m", {"schema.json": bytes(10**5 + 1)})
    monkeypatch.setattr(model_files, "JSON_BYTES", 10**5)
    with pytest.raises(DataError, match=r"has 100,001 bytes, more than the 100,000"):
        check_archive(large)


def test_parts_over_each_other_are_refused(tmp_path):
    path = archive(tmp_path / "m", {"a.npy": bytes(10**4), "b.npy": b""})
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02") + 20  # the sizes of the last member in the directory
    path.write_bytes(content[:at] + 2 * (10**4).to_bytes(4, "little") + content[at + 8 :])
    with pytest.raises(DataError, match="claim more bytes than the file has"):
        check_archive(path)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return candidates.results(tmp_path_factory.mktemp("models"), ["logistic"])


def evaluated(results, content):
    """Put a model there as if it were the candidate's; return the exit code of `evaluate`."""
    path = results / NAME / "model.skops"
    content(path) if callable(content) else path.write_bytes(content)
    record = read_record(results / NAME)
    model = record.model | {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    write_record(results / NAME, dataclasses.replace(record, model=model))
    return main(["evaluate", str(results), "--candidate", NAME])


def _like(**changes):
    def write(path):
        schema = {"__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "ObjectNode",
                  "protocol": 2, "_skops_version": "0.16.0", "__id__": 1, "content": None} | changes  # fmt: skip
        archive(path, {"schema.json": json.dumps(schema)})

    return write


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK", b"no zip file",
        lambda path: archive(path, {}),
        lambda path: archive(path, {"schema.json": "[" * 10**5}),
        lambda path: archive(path, {"schema.json": "null"}),
        lambda path: archive(path, {"schema.json": b"\xff\xfe"}),
        lambda path: archive(path, {"schema.json": bytes(10**6)}, zipfile.ZIP_DEFLATED),
        _like(), _like(content={}), _like(__class__="system", __module__="os"),
        _like(__loader__="TypeNode"), _like(protocol="x"), _like(__id__=None),
    ],
)  # fmt: skip
def test_what_is_no_model_of_ours_is_told_in_one_line(results, content, capsys):
    assert evaluated(results, content) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert not (results / "openings.json").exists()
