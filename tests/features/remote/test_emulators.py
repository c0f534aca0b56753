"""Azure's and Google's stores, on their emulators: Azurite (npm) and gcp-storage-emulator (PyPI)."""

import base64
import http.server
import shutil
import socket
import subprocess
import threading
import time

import pytest

import features
from features.errors import DataError, UsageError
from features.remote import attempts, connections
from features.remote.attempts import ConflictError, DeniedError, RemoteError
from features.remote.location import RemotePath
from features.remote.mirror import Mirror
from features.sources import open_source
from pipeline.commands.main import main
from tests.features.faults import stub
from tests.features.remote.test_sources import listing
from tests.features.sources.builders import BUILDERS

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"no secret: Azurite takes what it is told").decode()


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def wait_for(port: int, process=None) -> None:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.skip("the emulator does not start here")


@pytest.fixture(scope="session")
def azurite():
    pytest.importorskip("adlfs", reason="adlfs is not installed")
    if (program := shutil.which("azurite-blob")) is None:
        pytest.skip("Azurite is not there: `npm install -g azurite`")
    port = free_port()
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen(
        [program, *options, "--blobPort", str(port)],
        env={"PATH": "/usr/bin:/bin", "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(port, process)
    yield port
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def google():
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    server = pytest.importorskip(
        "gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed"
    )
    port = free_port()
    emulator = server.create_server("127.0.0.1", port, in_memory=True)
    emulator.start()
    wait_for(port)
    yield port
    emulator.stop()


def azure_account(monkeypatch, port: int, key: str = KEY) -> None:
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};",
    )
    connections._store.cache_clear()


@pytest.fixture(params=["az", "gs"])
def place(request, monkeypatch, cache):
    """The URL of an empty container or bucket."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(attempts, "PAUSE", 0.01)
    if request.param == "az":
        azure_account(monkeypatch, request.getfixturevalue("azurite"))
    else:
        port = request.getfixturevalue("google")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    connections._store.cache_clear()
    name = f"lab{time.time_ns()}"
    connections.store_of(request.param).files.mkdir(name)
    yield f"{request.param}://{name}"
    connections._store.cache_clear()


def store_of(place: str):
    return connections.store_of(place[:2])


def put_folder(folder, place: str) -> None:
    store = store_of(place)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(path, RemotePath(f"{place}/{path.relative_to(folder).as_posix()}"))


def names(place: str) -> set[str]:
    return {facts.name for facts in store_of(place).listing(RemotePath(place))}


@pytest.mark.parametrize("name", ["folder", "zip, deflated", "tar", "parquet", "npz"])
def test_sources_are_read_as_on_the_disk(place, tmp_path, name):
    (tmp_path / "local").mkdir()
    local = BUILDERS[name][1](tmp_path / "local")
    put_folder(tmp_path / "local", f"{place}/some")
    url = f"{place}/some/{local.relative_to(tmp_path / 'local').as_posix()}".removesuffix("/.")
    assert listing(open_source(url)) == listing(open_source(local))


@pytest.mark.parametrize("layout", ["single", "sharded"])
def test_features_are_made_there_and_read_again(place, photos, tmp_path, layout):
    put_folder(photos, f"{place}/photos")
    out = stub.extract(f"{place}/photos", f"{place}/out/photos.h5", layout=layout)
    local = stub.extract(photos, tmp_path / "local.h5")
    with features.FeatureFile(out) as file, features.FeatureFile(local) as same:
        assert file.problems() == []
        (layer,) = file.recipe.layers
        assert (file.features(layer) == same.features(layer)).all()
        assert list(file.ids) == list(same.ids)
    assert not [name for name in names(f"{place}/out") if ".partial" in name]


def test_what_has_changed_is_neither_read_nor_overwritten(place, tmp_path):
    store, path = store_of(place), RemotePath(f"{place}/a.txt")
    (tmp_path / "a").write_bytes(b"one")
    first = store.put(tmp_path / "a", path, before="")
    assert store.is_content_of(tmp_path / "a", store.facts(path))
    (tmp_path / "a").write_bytes(b"two")
    assert not store.is_content_of(tmp_path / "a", first)
    second = store.put(tmp_path / "a", path, before=first.version)
    assert second.version != first.version
    assert store.read(path, 1, 3, second) == b"wo"
    if place.startswith("gs"):
        return  # its emulator takes no conditions; that they are sent is tested below
    (tmp_path / "b").write_bytes(b"other")
    for before in ("", first.version):
        with pytest.raises(ConflictError, match="changed by somebody"):
            store.put(tmp_path / "b", path, before=before)
    with pytest.raises(RemoteError, match="changed by somebody while it was read"):
        store.read(path, 0, 2, first)
    assert store.put(tmp_path / "a", path, before="") == second  # an answer was lost: it is there


class Notes(Mirror):
    def fits(self, name: str) -> bool:
        return name.endswith(".txt")


def test_a_folder_is_brought_worked_on_and_put_up(place, tmp_path):
    mirror = Notes(RemotePath(f"{place}/results"))
    mirror.bring()
    mirror.folder.mkdir(parents=True, exist_ok=True)
    (mirror.folder / "a.txt").write_text("ours")
    mirror.put_up()
    assert names(f"{place}/results") == {"a.txt"} and mirror.is_put_up()
    (tmp_path / "theirs").write_text("theirs")
    store_of(place).put(tmp_path / "theirs", RemotePath(f"{place}/results/a.txt"))
    mirror.bring()
    assert (mirror.folder / "a.txt").read_text() == "theirs"
    (mirror.folder / "a.txt").unlink()
    mirror.put_up()
    assert names(f"{place}/results") == set()


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("{0}-none/photos", "x.h5", "there is nothing at {0}-none/photos"),
        ("{0}/none", "x.h5", "there is nothing at {0}/none"),
        ("{0}/none.zip", "x.h5", "there is nothing at {0}/none.zip"),
        (".", "{0}-none/x.h5", "cannot write to {0}-none/x.h5: no such bucket"),
        (".", "{0}", "{0} is a "),
    ],
)
def test_what_is_not_there_is_one_line(place, photos, monkeypatch, capsys, source, out, message):
    monkeypatch.chdir(photos)
    arguments = ["extract", source.format(place), "--out", out.format(place), "--quiet"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message.format(place)}") and error.count("\n") == 1


def test_a_wrong_key_is_denied_and_never_shown(azurite, monkeypatch, tmp_path, capfd, cache):
    wrong = base64.b64encode(b"somebody else's").decode()
    azure_account(monkeypatch, azurite, wrong)
    for source, out in (("az://lab/photos", str(tmp_path / "x.h5")), (".", "az://lab/x.h5")):
        assert main(["extract", source, "--out", out, "--quiet"]) == 1
        error = capfd.readouterr().err
        assert "cannot be had: access is denied; check the credentials" in error
        assert error.count("\n") == 1 and wrong not in error


@pytest.mark.parametrize("text", [None, "nonsense-c2VjcmV0"])
def test_without_an_account_one_line_says_what_is_needed(monkeypatch, cache, text):
    pytest.importorskip("adlfs", reason="adlfs is not installed")
    for name in ("CONNECTION_STRING", "ACCOUNT_NAME", "ACCOUNT_KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    if text is not None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    connections._store.cache_clear()
    with pytest.raises(DeniedError, match="needs the name of an account") as raised:
        open_source("az://lab/photos")
    assert "c2VjcmV0" not in str(raised.value)


class Answering:
    """A server that gives the same status to all, and keeps what it was asked for."""

    def __init__(self, status: int):
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                asked.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *rest):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()


@pytest.fixture
def answering(request, monkeypatch, cache):
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    server = Answering(request.param)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    connections._store.cache_clear()
    yield server
    server.close()
    connections._store.cache_clear()


@pytest.mark.parametrize("answering", [412], indirect=True)
def test_google_is_asked_for_one_generation_alone(answering, tmp_path):
    from features.remote.facts import Facts

    store, path = connections.store_of("gs"), RemotePath("gs://lab/a.txt")
    with pytest.raises(RemoteError, match="changed by somebody while it was read"):
        store.read(path, 0, 2, Facts("a.txt", 2, "17"))
    assert "ifGenerationMatch=17" in answering.asked[-1]
    (tmp_path / "a").write_bytes(b"x")
    for before, generation in (("", "0"), ("17", "17")):
        store.facts = lambda path: Facts("a.txt", 5, "18")  # somebody else's
        with pytest.raises(ConflictError):
            store.put(tmp_path / "a", path, before=before)
        assert f"ifGenerationMatch={generation}" in answering.asked[-1]


@pytest.mark.parametrize(
    ("answering", "message"),
    [(403, "access is denied"), (401, "access is denied"), (503, "slow down, 6 times in a row")],
    indirect=["answering"],
)
def test_what_google_refuses_is_one_line(answering, message, capfd, tmp_path):
    (tmp_path / "photos").mkdir()
    for source, out in (("gs://lab/photos", "x.h5"), (str(tmp_path / "photos"), "gs://lab/x.h5")):
        assert main(["extract", source, "--out", out, "--quiet"]) == 1
        error = capfd.readouterr().err
        assert message in error and error.count("error: ") == 1 and "Traceback" not in error


def test_hugging_face_without_a_network_is_one_line(monkeypatch, cache):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    connections._store.cache_clear()
    with pytest.raises((DataError, UsageError)) as raised:
        open_source("hf://datasets/lab/photos")
    assert str(raised.value).count("\n") == 0
