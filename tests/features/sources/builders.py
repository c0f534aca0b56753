"""The same images, written as every kind of source."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tests.features.pictures import encode, solid

# path -> colour; splits and classes are in the paths
IMAGES = {
    "test/cat/e.png": (5, 50, 100),
    "test/Hund/f.png": (6, 60, 110),
    "train/cat/b.png": (2, 20, 70),
    "train/cat/größe 猫.png": (3, 30, 80),
    "train/Hund/d.png": (4, 40, 90),
    "validation/cat/g.png": (7, 70, 120),
}
CLASSES = ("Hund", "cat")
SPLITS = {"train": 1, "validation": 2, "test": 3}


def files() -> dict[str, bytes]:
    return {path: encode(solid(colour)) for path, colour in IMAGES.items()}


def rows() -> list[tuple[str, str, str]]:
    """Path, label and split of each image."""
    return [(path, path.split("/")[1], path.split("/")[0]) for path in IMAGES]


def write_files(folder: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def write_zip(path: Path, contents: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, contents: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def table(delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([("path", "label", "split"), *rows()])
    return text.getvalue().encode(encoding)


def csv_manifest(folder: Path) -> Path:
    write_files(folder, {**files(), "all.csv": table(encoding="utf-8-sig")})
    return folder / "all.csv"


def tsv_manifest(folder: Path) -> Path:
    write_files(folder, {**files(), "all.tsv": table("\t")})
    return folder / "all.tsv"


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    frame = pd.DataFrame(rows(), columns=["path", "label", "split"])
    frame.astype({"label": "category"}).to_parquet(buffer)
    return buffer.getvalue()


def parquet_manifest(folder: Path) -> Path:
    write_files(folder, {**files(), "all.parquet": parquet_bytes()})
    return folder / "all.parquet"


def arrays() -> dict[str, np.ndarray]:
    names = sorted(IMAGES)
    return {
        "images": np.stack([np.asarray(solid(IMAGES[name])) for name in names]),
        "labels": np.array([CLASSES.index(name.split("/")[1]) for name in names]),
        "split": np.array([SPLITS[name.split("/")[0]] for name in names], np.uint8),
    }


def npz(folder: Path) -> Path:
    np.savez_compressed(folder / "all.npz", class_names=np.array(CLASSES), **arrays())
    return folder / "all.npz"


def hdf5(folder: Path) -> Path:
    with h5py.File(folder / "all.h5", "w") as file:
        for name, values in arrays().items():
            file[name] = values
        file.attrs["class_names"] = json.dumps(CLASSES)
    return folder / "all.h5"


def shard_contents(names: list[str], label: str = "cls") -> dict[str, bytes]:
    """The files of samples as WebDataset has them: `0.png` and `0.cls`, or `0.json`."""
    contents = {}
    for key, name in enumerate(names):
        text = name.split("/")[1]
        contents[f"{key}.png"] = encode(solid(IMAGES[name]))
        contents[f"{key}.{label}"] = (
            text if label == "cls" else json.dumps({"label": text})
        ).encode()
    return contents


def shard_folder(folder: Path) -> Path:
    names = sorted(IMAGES)
    write_tar(folder / "part-0.tar", shard_contents(names[:4]))
    write_tar(folder / "part-1.tar", shard_contents(names[4:], "json"))
    return folder


def shard_pattern(folder: Path) -> Path:
    return shard_folder(folder) / "part-{0..1}.tar"


# name -> (kind, what writes it, whether splits are known)
BUILDERS = {
    "folder": ("folder", lambda folder: write_files(folder, files()), True),
    "csv": ("manifest", csv_manifest, True),
    "tsv": ("manifest", tsv_manifest, True),
    "parquet": ("manifest", parquet_manifest, True),
    "zip": ("archive", lambda folder: write_zip(folder / "a.zip", files()), True),
    "zip, deflated": (
        "archive",
        lambda folder: write_zip(folder / "A.ZIP", files(), compression=zipfile.ZIP_DEFLATED),
        True,
    ),
    "zip with manifest": (
        "archive",
        lambda folder: write_zip(folder / "a.zip", {**files(), "all.csv": table()}),
        True,
    ),
    "tar": ("archive", lambda folder: write_tar(folder / "a.tar", files()), True),
    "tar with manifest": (
        "archive",
        lambda folder: write_tar(folder / "a.tar", {"a.parquet": parquet_bytes(), **files()}),
        True,
    ),
    "tar.gz": ("archive", lambda folder: write_tar(folder / "a.tar.gz", files(), "w:gz"), True),
    "tgz with manifest": (
        "archive",
        lambda folder: write_tar(folder / "a.tgz", {**files(), "all.csv": table()}, "w:gz"),
        True,
    ),
    "tar.xz": ("archive", lambda folder: write_tar(folder / "a.tar.xz", files(), "w:xz"), True),
    "tar.bz2": ("archive", lambda folder: write_tar(folder / "a.tar.bz2", files(), "w:bz2"), True),
    "npz": ("arrays", npz, True),
    "hdf5": ("arrays", hdf5, True),
    "shard folder": ("webdataset", shard_folder, False),
    "shard pattern": ("webdataset", shard_pattern, False),
}
