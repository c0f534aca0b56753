"""Zips, tars and .npz files with hostile members."""

import io
import tarfile
import zipfile
from pathlib import Path
from random import Random

import numpy as np

from tests.hostile.spoiling import NAMES, spoil_bytes
from tests.hostile.spoiling_hdf5 import SHAPES, TYPES


def spoil_npz(path: Path, random: Random) -> None:
    """Change an array of a .npz file, or bytes of its header."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = random.choice(sorted(arrays))
    way = random.randrange(4)
    if way == 0:
        arrays[name] = np.zeros(random.choice(SHAPES), random.choice(TYPES))
    elif way == 1:
        arrays[random.choice(["labels", "split", "x", "../y", "class_names"])] = arrays.pop(name)
    elif way == 2 and arrays[name].size and arrays[name].dtype.kind in "iu":
        kind = arrays[name].dtype
        arrays[name].reshape(-1)[0] = random.choice([np.iinfo(kind).min, np.iinfo(kind).max])
    np.savez(path, **arrays)
    if way == 3:
        _spoil_member(path, random)


def _spoil_member(path: Path, random: Random) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = random.choice(sorted(members))
    head, rest = members[name][:128], members[name][128:]
    shapes = [b"(999999999,", b"(-1,", b"(0,", b"((("]
    members[name] = random.choice([
        spoil_bytes(head, random) + rest, head.replace(b"(", random.choice(shapes), 1) + rest,
        spoil_bytes(members[name], random),
    ])  # fmt: skip
    _zip(path, members, random)


def _zip(path: Path, members: dict[str, bytes], random: Random) -> None:
    """Write a zip by any method; what is large is deflated, which is the fastest."""
    packed = random.choice(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            method = zipfile.ZIP_DEFLATED if len(data) > 10**6 else packed
            archive.writestr(name, data, method, compresslevel=1)


def spoil_zip(path: Path, random: Random) -> None:
    """Rename, double or spoil a member of a zip, or let its directory lie."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    _spoil_members(members, random)
    _zip(path, members, random)
    if random.random() < 0.4:  # the directory lies at the end
        data = path.read_bytes()
        at = data.rfind(b"PK\x01\x02")
        path.write_bytes(data[:at] + spoil_bytes(data[at:], random))


def _spoil_members(members: dict[str, bytes], random: Random) -> None:
    name = random.choice(sorted(members))
    way = random.randrange(4)
    if way == 0:
        new = random.choice([n for n in NAMES if n and "\0" not in n])
        members[new + random.choice(["", ".png"])] = members.pop(name)
    elif way == 1:
        members[name] = spoil_bytes(members[name], random)
    elif way == 2:
        members[name] = bytes(random.choice([10**4, 10**4, 10**7, 10**7, 6 * 10**8]))
    else:
        members.update({f"{n}.png": b"" for n in range(random.choice([10, 3000]))})


def spoil_tar(path: Path, random: Random) -> None:
    """Rename, double or spoil a member of a tar, or make it a link or a device."""
    mode = path.suffixes[-1].removeprefix(".").replace("tar", "")
    with tarfile.open(path) as archive:
        members = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}
    _spoil_members(members, random)
    with (
        tarfile.open(path, f"w:{mode}", compresslevel=1)
        if mode == "gz"
        else tarfile.open(path, "w") as archive
    ):
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if random.random() < 0.05:
                info.type = random.choice(
                    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
                )
                info.linkname, info.size, data = random.choice(["/etc/passwd", name, ".."]), 0, b""
            if random.random() < 0.02:
                info.pax_headers = {
                    random.choice(["path", "size", "x"]): random.choice(
                        ["9" * 30, "x" * 10**5, "-1"]
                    )
                }
            archive.addfile(info, io.BytesIO(data))
