"""Results folders in a store: worked on as on the disk, whole at any time, never of two machines at once."""

import json
import logging

import pandas
import pytest

import pipeline
from features.errors import DataError, UsageError
from features.remote import attempts, homes, mirror, places
from features.remote.attempts import ConflictError
from features.remote.location import as_remote
from pipeline.commands.main import main
from pipeline.config import PredictConfig
from pipeline.data.splits import Splits
from pipeline.results import in_stores, openings
from pipeline.results.stored import local_path
from pipeline.stages import predict
from tests.features.faults import stub
from tests.pipeline import candidates

QUICK = {"classifiers": "nearest-centroid", "tune": False, "folds": 2, "progress": False}
BEST = "vgg16.pool.logistic"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results folder on the disk; its feature file lies beside it."""
    return candidates.results(tmp_path_factory.mktemp("made"), ("logistic", "nearest-centroid"))


@pytest.fixture
def file(made):
    return made.parent / "features.h5"


@pytest.fixture
def results(bucket, server, made):
    """Its URL in a store."""
    url = bucket.put_folder(made, "results/")
    server.requests.clear()
    return url


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Makes the tests' machine another one, by its name: its cache is another."""

    def be(name):
        monkeypatch.setenv("OFFSHELF_CACHE", str(tmp_path / name))
        mirror._mirrors.clear()
        places._known.clear()

    be("a")
    return be


def theirs(made):
    splits = Splits.read(made)
    return pandas.DataFrame({"id": splits.ids_of(splits.validated), "predicted": "ant"})


def keys(bucket, prefix=""):
    return bucket.keys(prefix)


def puts(server):
    return [
        path.partition("/results/")[2] for method, path, _ in server.requests if method == "PUT"
    ]


def test_what_stages_find_is_written_into_the_store(results, bucket, server, file, made, tmp_path):
    before = {key: bucket.etag(key) for key in keys(bucket)}
    comparison = pipeline.compare(results)
    assert puts(server) == ["comparison.csv", "comparison.json"]
    assert bucket.get("results/comparison.csv") == comparison.files[0].read_bytes()
    server.requests.clear()
    pipeline.compare(results)  # the same content again
    assert not puts(server) and not any("validation" in path for path in server.gets)
    assert pipeline.splits(results).equals(pipeline.splits(made))
    assert pipeline.ResultsFolder(results).frame().equals(pipeline.ResultsFolder(made).frame())
    local = pipeline.compare(made, tmp_path)
    assert comparison.frame().equals(local.frame())
    pipeline.report(results, f"{bucket.url}/page/report.html", features=file, evidence=0)
    assert bucket.get("page/report.html").startswith(b"<!doctype html>")
    assert {key: bucket.etag(key) for key in before} == before


def test_the_lock_is_opened_in_the_store_before_the_test_is_scored(
    results, bucket, server, file, monkeypatch
):
    from pipeline.stages import evaluate

    seen = []

    def scoring(*given):
        seen.append(json.loads(bucket.get("results/openings.json"))["openings"])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(evaluate, "_scores", scoring)
        pipeline.evaluate(results, features=file)
    assert [opening["candidate"] for opening in seen[0]] == [BEST]
    evaluation = pipeline.evaluate(results, features=file)
    assert len(evaluation.openings) == 2
    assert len(json.loads(bucket.get("results/openings.json"))["openings"]) == 2
    stored = json.loads(bucket.get(f"results/{BEST}/test.json"))
    assert stored["metrics"] == evaluation.facts["metrics"]


def test_the_test_is_not_shown_where_the_opening_cannot_be_written(
    results, bucket, server, file, monkeypatch
):
    from pipeline.stages import evaluate

    monkeypatch.setattr(evaluate, "_scores", lambda *given: pytest.fail("it was scored"))
    monkeypatch.setattr(attempts, "TRIES", 2)
    for fault in ("SlowDown", "AccessDenied"):
        server.fault = lambda method, path, number, fault=fault: (
            fault if method == "PUT" and "openings" in path else None
        )
        with pytest.raises(DataError, match="openings.json (could not be reached|cannot be had)"):
            pipeline.evaluate(results, features=file)
    server.fault = lambda *request: None
    assert f"results/{BEST}/test.json" not in keys(bucket)


def test_two_machines_cannot_both_open_the_lock_unnoticed(
    results, bucket, file, machines, monkeypatch
):
    from pipeline.predictors import locked

    machines("b")
    predict = locked.predict

    def meanwhile(*given):
        with monkeypatch.context() as patch:
            patch.setattr(locked, "predict", predict)
            machines("a")
            pipeline.evaluate(results, "vgg16.pool.nearest-centroid", features=file)
            machines("b")
        in_stores.ResultsMirror(as_remote(results))  # of this machine again
        return predict(*given)

    monkeypatch.setattr(locked, "predict", meanwhile)
    with pytest.raises(ConflictError, match="openings.json was changed by somebody meanwhile"):
        pipeline.evaluate(results, BEST, features=file)
    assert f"results/{BEST}/test.json" not in keys(bucket)
    monkeypatch.setattr(locked, "predict", predict)
    with stub.messages() as warnings:
        evaluation = pipeline.evaluate(results, BEST, features=file)
    assert any("has a newer openings.json" in line for line in warnings)
    assert [opening.candidate for opening in evaluation.openings] == [
        "vgg16.pool.nearest-centroid",
        BEST,
    ]


def test_classify_puts_each_candidate_there_when_it_is_finished(
    bucket, server, file, machines, monkeypatch
):
    out, put_up, whole = f"{bucket.url}/results", mirror.Mirror.put_up, []

    def stopping(copy):
        put_up(copy)
        whole.append(keys(bucket, "results/"))
        if len(whole) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mirror.Mirror, "put_up", stopping)
        pipeline.classify(file, out, **QUICK)
    assert whole[0] == ["results/splits.parquet"]
    assert "results/vgg16.pool.nearest-centroid/record.json" in whole[1]
    order = puts(server)
    assert order.index("splits.parquet") == 0 and order[-1].endswith("record.json")
    record = json.loads(bucket.get("results/vgg16.pool.nearest-centroid/record.json"))
    assert record["inputs"]["file"] == homes.without_home(file)  # not relative to the copy
    machines("b")
    server.requests.clear()
    folder = pipeline.classify(file, out, **QUICK)
    assert not [name for name in puts(server) if "nearest-centroid" in name]  # nothing was fitted
    assert list(folder.records) == ["vgg16.pool.nearest-centroid"]


def test_a_candidate_is_never_seen_half_replaced(results, bucket, server, made):
    table = theirs(made)
    pipeline.add_predictions(results, table, "theirs")
    server.requests.clear()
    table.loc[table.index[0], "predicted"] = "bee"
    pipeline.add_predictions(results, table, "theirs", replace=True)
    steps = [
        (m, p.rpartition("/")[2]) for m, p, _ in server.requests if "theirs" in p and m != "HEAD"
    ]
    assert steps == [
        ("DELETE", "record.json"), ("PUT", "validation.parquet"), ("PUT", "record.json"),
    ]  # fmt: skip


def test_restart_removes_from_the_store_what_it_discards_and_nothing_else(results, bucket, file):
    mine = ["results/photos/a.json", "results/thesis.txt", f"results/{BEST}/thesis.txt"]
    for key in mine:
        bucket.put(key, b"mine")
    pipeline.classify(file, results, **QUICK | {"classifiers": "dummy"}, restart=True)
    candidate = ("model.skops", "record.json", "trials.npz", "validation.parquet")
    assert keys(bucket, "results/") == sorted(
        ["results/duplicates.parquet", "results/splits.parquet", *mine]
        + [f"results/vgg16.pool.dummy/{name}" for name in candidate]
    )


def test_a_copy_that_was_removed_costs_nothing_and_removes_nothing(
    results, bucket, server, machines
):
    pipeline.compare(results)
    there = keys(bucket)
    copy = mirror._mirrors.popitem()[1]
    (copy.folder / BEST / "record.json").unlink()  # as somebody does who cleans up
    pipeline.compare(results)
    assert keys(bucket) == there and (copy.folder / BEST / "record.json").exists()
    (copy._home / "mirror.json").unlink()
    with pytest.raises(DataError, match="was removed while a command worked there"):
        copy.put_up()
    server.requests.clear()
    pipeline.compare(results)
    assert not any("validation" in path for path in server.gets)  # they are known by their content
    assert keys(bucket) == there


def test_what_another_machine_changed_is_brought(results, bucket, machines, made, file):
    pipeline.compare(results)
    machines("b")
    table = theirs(made)
    pipeline.add_predictions(results, table, "theirs")
    machines("a")
    assert "theirs" in {entry.record.name for entry in pipeline.compare(results).ranking.entries}
    for key in keys(bucket, "results/theirs/"):
        bucket._client.delete_object(Bucket=bucket.name, Key=key)
    names = {entry.record.name for entry in pipeline.compare(results).ranking.entries}
    assert names == {BEST, "vgg16.pool.nearest-centroid"}


def test_a_store_that_fails_for_a_while_does_not_end_a_run(
    results, bucket, server, made, monkeypatch
):
    monkeypatch.setattr(attempts, "TRIES", 2)
    fails = [2]

    def failing(method, path, number):
        if method == "PUT" and "theirs" in path and fails[0]:
            fails[0] -= 1
            return "SlowDown"
        return None

    server.fault = failing
    with stub.messages() as warnings:
        pipeline.add_predictions(results, theirs(made), "theirs")
    assert any("the work goes on, and is put there later" in line for line in warnings)
    assert any(line == "1 requests were repeated: 1 x slow down" for line in warnings)
    assert "results/theirs/record.json" in keys(bucket)
    fails[0] = 4  # now and in the end
    with pytest.raises(DataError, match=r"2 times in a row; what was made is kept on this machine"):
        other = theirs(made).assign(predicted="bee")
        pipeline.add_predictions(results, other, "theirs", title="others", replace=True)
    assert "results/theirs/record.json" not in keys(bucket)  # nobody sees half of it
    pipeline.compare(results)
    assert b"others" in bucket.get("results/theirs/record.json")


def test_predict_pack_and_map_read_and_write_in_the_store(bucket, tmp_path, monkeypatch):
    photos = tmp_path / "pictures"
    made = candidates.results(tmp_path / "made", ("logistic",), pictures=photos)
    results = bucket.put_folder(made, "results/")
    pipeline.map_features(
        made.parent / "features.h5", f"{bucket.url}/map.html", results=results, progress=False
    )
    assert keys(bucket, "map") == ["map.csv", "map.html"]
    bucket.put("other.zip", b"somebody's")
    with pytest.raises(
        UsageError, match=r"^s3://.*other.zip is there already and was not made by `pack`"
    ):
        pipeline.pack(results, f"{bucket.url}/other.zip")
    assert bucket.get("other.zip") == b"somebody's"


def test_where_a_table_for_a_store_is_made_is_known_before_the_store_is_asked(cache):
    config = PredictConfig("s3://lab/results", "s3://lab/new", "s3://no-such-bucket/new.csv")
    folder = predict.unfinished(config)
    assert folder.is_relative_to(cache) and folder.name == "new.csv.partial"
    assert local_path(config.out).with_name(folder.name) == folder


def test_commands_name_the_place_in_the_store(results, bucket, file, capsys, tmp_path):
    assert main(["compare", results]) == 0
    said = capsys.readouterr()
    assert f"written: {results}/comparison.csv" in said.out
    assert main(["evaluate", results, "--candidate", "nobody", "--features", str(file)]) == 2
    assert main(["compare", f"{bucket.url}/nothing"]) == 2
    error = capsys.readouterr().err
    assert f"{bucket.url}/nothing is no results folder" in error
    assert main(["advise", str(file), "--out", results, "--quiet"]) == 0
    assert str(tmp_path / "cache") not in said.out + error + capsys.readouterr().out
    assert b"mirror" not in bucket.get("results/advice.json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["classify", "{file}", "--out", "s3://no-such-bucket/r"], 2, "no such bucket"),
        (["evaluate", "s3://no-such-bucket/r"], 2, "no such bucket"),
        (["compare", "s3://no-such-bucket/r"], 2, "s3://no-such-bucket/r: no such bucket"),
        (["report", "{results}", "--out", "s3://no-such-bucket/r.html"], 2, "no such bucket"),
        (["compare", "https://127.0.0.1:1/r"], 2, "a web server lists no folders"),
        (["classify", "{file}", "--out", "http://127.0.0.1:1/r"], 2, "cannot be written to"),
        (["export", "{results}", "--out", "s3://lab/openvino"], 2, "a folder is written to"),
    ],
)
def test_places_that_cannot_be_are_one_line(server, made, file, capsys, arguments, code, message):
    given = [word.format(file=file, results=made) for word in arguments]
    assert main([*given, "--quiet"]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_who_may_not_write_is_told_before_any_work_and_may_still_read(
    results, server, file, capsys, caplog, tmp_path
):
    caplog.set_level(logging.INFO)
    server.fault = lambda method, path, number: (
        "AccessDenied" if method in ("PUT", "POST") else None
    )
    for command in (["classify", str(file), "--out", results], ["evaluate", results]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert error.endswith(
            "cannot be had: access is denied; check the credentials, and what they may do\n"
        )
    assert not (tmp_path / "cache" / "remote").exists()
    assert main(["compare", results, "--out", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "comparison.csv").exists()


def test_relative_paths_of_records_lead_through_the_store(results, machines):
    machines("a")
    copy = in_stores.ResultsMirror(as_remote(results)).folder
    top = results.rpartition("/")[0]
    assert homes.found("../photos.h5", copy) == f"{top}/photos.h5"
    assert homes.found("./a/b.h5", copy) == f"{results}/a/b.h5"
    assert homes.kept(f"{top}/photos.h5", copy) == f"{top}/photos.h5"
    assert homes.without_home(copy / "x.csv") == f"{results}/x.csv"
    assert openings.uncounted(copy) == ""


def test_networks_read_images_from_a_store_as_from_the_disk(bucket, server, photos, tmp_path):
    from pipeline.config import ScratchConfig
    from pipeline.networks import pixels

    source, read = bucket.put_folder(photos, "photos/"), {}
    for name, place in (("disk", photos), ("store", source)):
        folder = tmp_path / name
        folder.mkdir()
        config = ScratchConfig(place, folder / "results", folds=2, progress=False)
        config.out.mkdir()
        read[name] = pixels.read(config, folder, (16, 16))
    disk, store = read["disk"], read["store"]
    assert (disk.x == store.x).all() and disk.facts["content"] == store.facts["content"]
    assert disk.splits.digest == store.splits.digest and store.facts["source"] == source
    ids = store.splits.ids_of(store.splits.test)
    assert (pixels.locked(store.facts, ids, tmp_path, None) == store.x[store.splits.test]).all()
    first = next(iter(ids))
    bucket.put(f"photos/{first}", (photos / "cat" / "0.png").read_bytes() + b"?")
    with pytest.raises(DataError, match="locked away have changed"):
        pixels.locked(store.facts, ids, tmp_path, None)


def test_advice_on_a_stored_file_is_written_into_this_folder(bucket, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    advice = pipeline.advise(bucket.put("photos.h5", file.read_bytes()), progress=False)
    assert advice.file.resolve() == tmp_path / "photos.advice.json" and advice.file.exists()
    assert bucket.keys() == ["photos.h5"]
