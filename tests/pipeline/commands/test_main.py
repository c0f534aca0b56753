"""The commands as a user meets them: what they print, and their exit codes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.faults import stub

HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "pyarrow", "skimage")
SMALL = ["--backbone", "mobilenetv2", "--weights", "none", "--image-size", "32", "--quiet"]


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        capture_output=True, text=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [["--help"], ["extract", "--help"], ["--version"], ["backbones"]]
)
def test_light_commands_import_nothing_heavy(arguments, cache):
    code = (
        "import sys\n"
        "from pipeline.commands.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr == "[]\n"
    assert result.stdout


def test_help_takes_less_than_400_ms_of_cpu_time():
    before = os.times()
    result = run("--help")
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert result.returncode == 0
    assert "extract" in result.stdout
    assert used < 0.4


def test_extract_and_inspect(photos, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert main(["extract", str(photos), "--out", str(out), *SMALL]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert main(["inspect", str(out)]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "mobilenetv2",
        "out_relu",
        "1280",
        "20 rows, 0 rejected",
        "every check passed",
    ):
        assert expected in shown
    data = bytearray(out.read_bytes())
    with FeatureFile(out) as file:
        at = file._file["features/out_relu"].id.get_chunk_info(0).byte_offset
    data[at] ^= 1
    out.write_bytes(data)
    assert main(["inspect", str(out)]) == 1
    assert "/features/out_relu has changed" in capsys.readouterr().out


def bomb(path):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    compressor = zlib.compressobj(9)
    pixels = b"".join(compressor.compress(bytes(120_001)) for _ in range(10)) + compressor.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def truncated(path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:1000])


def folder_with(make, name):
    def prepare(tmp_path):
        (tmp_path / "source").mkdir()
        make(tmp_path / "source" / name)
        return "source"

    return prepare


def manifest(text):
    def prepare(tmp_path):
        (tmp_path / "m.csv").write_text(text)
        return "m.csv"

    return prepare


@pytest.mark.parametrize(
    ("prepare", "options", "code", "told"),
    [
        (lambda tmp: "nowhere", [], 2, "nowhere"),
        (folder_with(lambda path: path.mkdir(), "empty"), [], 1, "no images"),
        (folder_with(lambda path: path.touch(), "a.txt"), [], 1, "no images"),
        (folder_with(truncated, "a.jpg"), [], 1, "1 of 1 images were rejected"),
        (folder_with(bomb, "a.png"), [], 1, "1 of 1 images were rejected"),
        (manifest("file,label\na.png,x\n"), [], 1, "path"),
        (manifest("path,label\na.png,x\n"), [], 1, "1 of 1 images were rejected"),
        (manifest("path,label\n../a.png,x\n"), [], 1, "line 2"),
        (folder_with(truncated, "a.jpg"), ["--backbone", "vgg61"], 2, "vgg16"),
        (folder_with(truncated, "a.jpg"), ["--layers", "out_reluu"], 2, "out_relu"),
        (folder_with(truncated, "a.jpg"), ["--image-size", "8"], 2, "at least 32"),
        (folder_with(truncated, "a.jpg"), ["--weights", "x.h5"], 2, "x.h5"),
        (folder_with(truncated, "a.jpg"), ["--out", "a.txt/b/out.h5"], 2, "a.txt"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    tmp_path, monkeypatch, capsys, prepare, options, code, told
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    source = prepare(tmp_path)
    assert main(["extract", source, "--out", "out.h5", *SMALL, *options]) == code
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("warning: RANDOM")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert told in lines[0]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="drops root's rights")
def test_a_folder_without_write_permission(photos, capsys):
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o555)
        for out in (f"{closed}/out.h5", f"{closed}/new/out.h5"):
            os.seteuid(65534)
            try:
                code = main(["extract", str(photos), "--out", out, *SMALL])
            finally:
                os.seteuid(0)
            assert code == 2
            assert "Permission denied; choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--image-size", "large"], "'large'"),
        (["--image-size", "0"], "'0'"),
        (["--max-rejected", "5"], "'5'"),
        (["--pooling", "mean"], "mean"),
    ],
)
def test_values_that_cannot_be_read(photos, tmp_path, capsys, options, told):
    with pytest.raises(SystemExit) as caught:
        main(["extract", str(photos), "--out", str(tmp_path / "out.h5"), *options])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_inspect_what_is_no_feature_file(tmp_path, capsys):
    (tmp_path / "x.h5").write_text("text")
    assert main(["inspect", str(tmp_path / "x.h5")]) == 1
    assert "is no feature file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_signals_leave_a_resumable_state(tmp_path, number, code):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", images=rng.integers(0, 256, (4096, 32, 32, 3), np.uint8))
    command = ["extract", tmp_path / "images.npz", "--out", tmp_path / "out.h5", *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    partial = tmp_path / "out.h5.partial"
    deadline = time.monotonic() + 120
    while not list(partial.glob("*.h5")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out.h5").exists()
    result = run(*command[:-1])
    assert result.returncode == 0
    assert "resuming" in result.stderr
    with FeatureFile(tmp_path / "out.h5") as file:
        assert len(file) == 4096


HANGING = """
import os
import time
from features.extraction import loading
from pipeline.commands.main import run_and_end

def hang(*arguments):
    os.write(1, b"decoding\\n")  # whole, beside that of another thread
    time.sleep(1000)

loading.decode = hang
run_and_end()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_a_command_whose_decoder_does_not_end(tmp_path, number, code):
    np.savez(tmp_path / "images.npz", images=np.zeros((64, 32, 32, 3), np.uint8))
    command = [tmp_path / "images.npz", "--out", tmp_path / "out.h5", *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, "extract", *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "decoding\n"
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped: 0 of 64 images are kept" in told
    assert "Traceback" not in told


def test_backbones_lists_and_explains(capsys, cache):
    assert main(["backbones"]) == 0
    listed = capsys.readouterr().out
    for name in ("vgg16", "resnet152v2", "efficientnetv2s", "convnexttiny", "nasnetlarge"):
        assert name in listed
    assert main(["backbones", "vgg16", "--image-size", "96"]) == 0
    shown = capsys.readouterr().out
    assert "vgg16 at 96 x 96" in shown
    assert "3x3x512" in shown
    assert "212 px" in shown
    assert main(["backbones", "vgg"]) == 2


def test_weights_of_named_backbones_alone(capsys, cache):
    assert main(["weights", "list", "vgg16"]) == 0
    shown = capsys.readouterr().out
    assert "vgg16" in shown
    assert "resnet50" not in shown
    assert main(["weights", "list", "vgg61"]) == 2
    assert "did you mean vgg" in capsys.readouterr().err
    assert main(["weights", "fetch"]) == 2
    assert "no backbone is named" in capsys.readouterr().err


def test_weights_of_an_empty_cache(capsys, cache):
    assert main(["weights", "list"]) == 0
    assert "not fetched" in capsys.readouterr().out
    assert main(["weights", "verify"]) == 1
    assert "weights fetch resnet50" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_the_terminal_cannot_show_is_replaced(photos, tmp_path, encoding):
    """A name of a class, and that of a file, which is printed after the work is done."""
    (photos / "cat").rename(photos / "猫")
    out = tmp_path / "é 猫.h5"
    stub.extract(photos, out)
    result = subprocess.run(
        [sys.executable, "-m", "pipeline", "inspect", out], capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    shown = result.stdout.decode(encoding)
    assert ("猫" if encoding == "utf-8" else "?") in shown
    assert "every check passed" in shown


@pytest.mark.parametrize("arguments", [("--print-completion", "bash"), ("backbones", "--json")])
def test_a_reader_that_has_had_enough_ends_a_command_quietly(arguments):
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
