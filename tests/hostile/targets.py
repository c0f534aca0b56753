"""What is spoiled, and the commands that read it: one `Target` for each kind of file."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h5py

from features.processes.packages import sha256_of
from features.processes.quiet import quiet_import
from features.records import DIGEST_BYTES, blake2b
from features.storage.hdf5 import attributes_of
from features.storage.schema import DIGEST
from pipeline.results.records import RECORD
from tests.hostile import valid
from tests.hostile.spoiling import spoil_bytes, spoil_json
from tests.hostile.spoiling_archives import spoil_npz, spoil_tar, spoil_zip
from tests.hostile.spoiling_hdf5 import reseal, spoil_hdf5
from tests.hostile.spoiling_networks import spoil_keras, spoil_onnx, spoil_weights
from tests.hostile.spoiling_packs import spoil_converted, spoil_pack, spoil_request, spoil_xml
from tests.hostile.spoiling_tables import spoil_parquet, spoil_table


@dataclass(frozen=True)
class Target:
    """A kind of file that people are given by others.

    Attributes:
        make: writes valid inputs into an empty folder.
        files: a pattern of those that are spoiled.
        spoil: changes one within its format; of every four, one has its bytes changed instead.
        commands: the arguments of the commands that read it; one is taken. They name paths
            relative to the folder of the inputs, and write to names that begin with "out".
        share: how often it is taken in relation to the others.
        needs: a module that takes long to import, so that it is there before limits are set.
        package: of an extra, without which the kind is left out.
    """

    make: Callable[[Path], object]
    files: str
    spoil: Callable[[Path, Random], None]
    commands: tuple[str, ...]
    share: int = 2
    needs: str = ""
    package: str = "numpy"


@dataclass(frozen=True)
class Whole:
    """A case for `limits.outcomes`: a copy of a target's valid inputs, and one of its commands."""

    template: Path
    command: str
    needs: str = ""

    def __call__(self, place: Path) -> list[str]:
        _import(self.needs)
        shutil.copytree(self.template, place, dirs_exist_ok=True)
        return self.command.split(" ")


@dataclass(frozen=True)
class Spoiled:
    """The same with one file spoiled.

    Equal numbers make equal inputs.
    """

    target: str
    template: Path
    number: int

    def __call__(self, place: Path) -> list[str]:
        random, target = Random(f"{self.target} {self.number}"), TARGETS[self.target]
        _import(target.needs)
        shutil.copytree(self.template, place, dirs_exist_ok=True)
        path = random.choice(sorted(path for path in place.glob(target.files) if path.is_file()))
        before = sha256_of(path)
        if random.random() < 0.25:
            _bytes(path, random)
        else:
            _within_its_format(target, path, random)
        if random.random() < 0.75:
            _seal(path, before)
        return random.choice(target.commands).split(" ")


def _import(name: str) -> None:
    if name:
        quiet_import(name)


def _within_its_format(target: Target, path: Path, random: Random) -> None:
    content = path.read_bytes()
    try:
        target.spoil(path, random)
    except Exception:  # h5py, pyarrow and zipfile do not write everything that they read
        path.write_bytes(content)
        _bytes(path, random)


def _seal(path: Path, before: str) -> None:
    """Note the checksum of a file that has changed in the record beside it."""
    record = path.with_name(RECORD)
    if record.exists() and record != path and path.exists():
        record.write_text(record.read_text().replace(before, sha256_of(path)))


def _json(path: Path, random: Random) -> None:
    path.write_text(spoil_json(path.read_text(), random), errors="surrogatepass")


def _csv(path: Path, random: Random) -> None:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    path.write_text(spoil_table(path.read_text("utf-8-sig"), random, delimiter), "utf-8")


def _bytes(path: Path, random: Random) -> None:
    path.write_bytes(spoil_bytes(path.read_bytes(), random))


def _any(path: Path, random: Random) -> None:
    """Spoil a file as its suffix asks for."""
    spoils = {".json": _json, ".csv": _csv, ".parquet": spoil_parquet, ".npz": spoil_npz, ".skops": spoil_zip,
              ".keras": spoil_zip}  # fmt: skip
    spoils.get(path.suffix, _bytes)(path, random)


def _openvino(path: Path, random: Random) -> None:
    spoiled = spoil_xml(path.read_bytes(), random) if path.suffix == ".xml" else None
    path.write_bytes(spoiled or spoil_bytes(path.read_bytes(), random))


def _part(path: Path, random: Random) -> None:
    """Spoil a part of predictions, and mostly write the digest behind it anew."""
    if path.suffix == ".json":
        _json(path, random)
        return
    data = path.read_bytes()
    path.write_bytes(data[:-DIGEST_BYTES])
    spoil_parquet(path, random)
    content = path.read_bytes()
    path.write_bytes(
        content + (blake2b(content) if random.random() < 0.8 else data[-DIGEST_BYTES:])
    )


def _shard(path: Path, random: Random) -> None:
    """Spoil a shard, and mostly write its size and seal into the index anew."""
    name = path.name.encode()
    spoil_hdf5(path, random)
    index = path.parent.parent / "in.h5"
    if random.random() < 0.8:
        with h5py.File(path) as shard, h5py.File(index, "r+") as file:
            number = file["shards/name"][...].tolist().index(name)
            file["shards/bytes"][number] = path.stat().st_size
            file["shards/digest"][number] = list(bytes.fromhex(attributes_of(shard)[DIGEST]))
            reseal(file)


def _extract(source: str) -> tuple[str, ...]:
    return (f"extract {source} --out out.h5 --max-rejected 1",)


_INSPECT = ("inspect in.h5", "inspect in.h5 --json")
_IN_SHARDS = (*_INSPECT, "consolidate in.h5 --out out.h5", "map in.h5 --out out.html")
_MAP = "map in.h5 --out out.html"
_READ = (
    "compare results --resamples 50 --out out", "compare results --resamples 50 --json --out out",
    "evaluate results --resamples 50 --candidate vgg16.pool.logistic",
    "evaluate results --resamples 50 --json", "report results --resamples 50 --out out.html",
    "map features.h5 --results results --out out.html --limit 60",
)  # fmt: skip
_PREDICT = "predict m.zip images --out out.csv"
_CLASSIFY = ("classify in.h5 --out out --classifiers nearest-centroid --no-tune",)

TARGETS = {
    "feature file": Target(valid.feature_file, "in.h5", spoil_hdf5, (*_INSPECT * 2, _MAP), 6),
    "feature file, classified": Target(valid.feature_file, "in.h5", spoil_hdf5, _CLASSIFY, 0),
    "feature file, advised": Target(valid.feature_file, "in.h5", spoil_hdf5, ("advise in.h5 --out out",), 0),
    "index of shards": Target(valid.in_shards, "in.h5", spoil_hdf5, _IN_SHARDS, 3),
    "shard": Target(valid.in_shards, "in.h5.shards/*", _shard, _IN_SHARDS, 3),
    "array file": Target(valid.hdf5, "all.h5", spoil_hdf5, _extract("all.h5")),
    "npz": Target(valid.npz, "all.npz", spoil_npz, _extract("all.npz")),
    "zip": Target(valid.zipped, "a.zip", spoil_zip, _extract("a.zip")),
    "tar": Target(valid.tarred, "a.tar", spoil_tar, _extract("a.tar")),
    "tar.gz": Target(valid.gzipped, "a.tar.gz", spoil_tar, _extract("a.tar.gz")),
    "WebDataset": Target(valid.shards, "*.tar", spoil_tar, _extract(".")),
    "manifest, text": Target(valid.csv, "all.csv", _csv, _extract("all.csv")),
    "manifest, Parquet": Target(valid.parquet, "all.parquet", spoil_parquet, _extract("all.parquet")),
    "image": Target(valid.images, "images/*", _bytes, _extract("images"), 5),
    "record": Target(valid.results, "results/*/record.json", _json, _READ, 4),
    "other JSON of results": Target(
        valid.results, "results/**/[acholt]*.json", _json, _READ, 3),
    "predictions": Target(valid.results, "results/*/*.parquet", spoil_parquet, _READ, 4),
    "splits and duplicates": Target(valid.results, "results/*.parquet", spoil_parquet, _READ, 3),
    "model": Target(valid.results, "results/*nearest*/model.skops", spoil_zip,
                    ("evaluate results --resamples 50 --candidate vgg16.pool.nearest-centroid",)),
    "trials": Target(valid.results, "results/*/trials.npz", spoil_npz, _READ, 1),
    "table of another tool": Target(valid.results, "table.csv", _csv,
                                    ("add results table.csv --name out --replace",)),
    "table of another tool, Parquet": Target(valid.results, "table.parquet", spoil_parquet,
                                             ("add results table.parquet --name out --replace",)),
    "note of weights": Target(valid.cache, "cache/weights/*.json", _json,
                              ("weights list",), 1),
    "pack": Target(valid.packed, "m.zip", spoil_pack, (_PREDICT, f"{_PREDICT} --submission sample.csv"), 4),
    "sample of a competition": Target(valid.packed, "sample.csv", _csv, (f"{_PREDICT} --submission sample.csv",)),
    "results folder that predicts": Target(
        valid.packed, "results/**/*.*", _any, ("predict results images --out out.csv",)),
    "unfinished predictions": Target(valid.unfinished, "out.csv.partial/*.*", _part, (_PREDICT,)),
    "request": Target(
        valid.packed, "photo.http", spoil_request,
        ("request m.zip /predict photo.http", "request m.zip /explain photo.http"), 3, "starlette.testclient"),
    "form": Target(valid.packed, "form.http", spoil_request, ("request m.zip /predict form.http",), 3,
                   "starlette.testclient"),
    "packed network": Target(valid.packed_network, "w.zip", spoil_pack, ("openvino predict w.zip images --out out.csv",), 2, "features.engines.openvino_engine"),
    "converted network": Target(valid.converted, "cache/networks/*/*", spoil_converted,
                                ("openvino extract c.npz --out out.h5",), 2, "features.engines.openvino_engine"),
    "network of a candidate": Target(valid.network, "results/scratch-lenet/*", _any,
                                     ("evaluate results --resamples 50 --candidate scratch-lenet",
                                      "report results --resamples 50 --out out.html",
                                      "predict results c.npz --out out.csv --limit 3 --candidate scratch-lenet"), 1, "keras"),
    "own network, ONNX": Target(valid.onnx_network, "net.onnx", spoil_onnx, ("own backbones net.onnx --all",), 3,
                                "features.engines.openvino_engine"),
    "own network, OpenVINO": Target(valid.openvino_network, "net.*", _openvino, ("own backbones net.xml --all",), 3,
                                    "features.engines.openvino_engine"),
    "own network, Keras": Target(valid.keras_network, "net.keras", spoil_keras, ("own backbones net.keras --all",), 3,
                                 "keras"),
    "weights of a network": Target(valid.torch_weights, "w.*", spoil_weights, ("timm w.pth", "timm w.safetensors"),
                                   2, "tests.hostile.with_timm", "timm"),
}  # fmt: skip
