"""HDF5 files spoiled within their structure, and sealed anew: a reader gets far into them."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from features.records import blake2b
from features.storage.hdf5 import attributes_of, put_attributes
from features.storage.schema import DIGEST, content, hasher, seal
from tests.hostile.spoiling import NAMES, NUMBERS, spoil_json

TYPES = ("u1", "u2", "u8", "i1", "i8", "f2", "f4", "f8", "S3", "?", "c8")
SHAPES = ((), (0,), (1,), (7,), (3, 0), (0, 5), (2, 3, 4), (2,) * 9)


def spoil_hdf5(path: Path, random: Random) -> None:
    """Change datasets, attributes or links of an HDF5 file; seal it anew as a feature file is."""
    with h5py.File(path, "r+") as file:
        random.choice(_OF_HDF5)(file, random)
        if random.random() < 0.3:
            with suppress(Exception):  # the file may be beyond it
                random.choice(_OF_HDF5)(file, random)
        if random.random() < 0.7:
            reseal(file)


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _replace(file: h5py.File, name: str, values: np.ndarray, **options: Any) -> None:
    facts = dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, data=values, **options)
    for key, fact in facts.items():
        made.attrs[key] = fact


def _other_values(file: h5py.File, random: Random) -> None:
    """Keep the type and shape of a dataset, with extreme values in it."""
    name = random.choice(_datasets(file))
    values = file[name][...]
    if values.size and values.dtype.kind in "iuf":
        flat, kind = values.reshape(-1), values.dtype
        numbers = [number for number in NUMBERS if _fits(number, kind)]
        for _ in range(random.choice([1, len(flat)])):
            flat[random.randrange(len(flat))] = random.choice(numbers)
    elif values.size and values.dtype.kind == "S":
        values.reshape(-1)[random.randrange(values.size)] = random.choice(NAMES).encode()[:40]
    _replace(file, name, values, dtype=file[name].dtype)


def _fits(number: float, kind: np.dtype) -> bool:
    if kind.kind == "f":
        return abs(number) < 3e4 or number != number or kind.itemsize > 2
    bounds = np.iinfo(kind)
    return isinstance(number, int) and bounds.min <= number <= bounds.max


def _other_type(file: h5py.File, random: Random) -> None:
    name = random.choice(_datasets(file))
    _replace(file, name, np.zeros(random.choice(SHAPES), random.choice(TYPES)))


def _claimed(file: h5py.File, random: Random) -> None:
    """Let a dataset claim a shape that nothing is stored of."""
    name = random.choice(_datasets(file))
    dtype, ndim = file[name].dtype, max(1, file[name].ndim)
    facts = dict(file[name].attrs)
    del file[name]
    shape = (random.choice([10**8, 2**31, 2**40]), *(random.choice([1, 16, 300]),) * (ndim - 1))
    chunk = (random.choice([1, 1000, 10**5]), *shape[1:])
    made = file.create_dataset(
        name, shape, dtype, chunks=chunk, compression=random.choice([None, 4])
    )
    for key, fact in facts.items():
        made.attrs[key] = fact


def _linked(file: h5py.File, random: Random) -> None:
    name = random.choice(_datasets(file))
    del file[name]
    file[name] = random.choice([
        h5py.SoftLink("/"), h5py.SoftLink(f"/{name}"), h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink(file.filename, "/"),
    ])  # fmt: skip


def _grouped(file: h5py.File, random: Random) -> None:
    name = random.choice(_datasets(file))
    del file[name]
    file.create_group(name)


def _renamed(file: h5py.File, random: Random) -> None:
    name = random.choice(_datasets(file))
    parent = name.rpartition("/")[0]
    new = random.choice([name for name in NAMES if name.strip(".") and "\0" not in name])
    target = f"{parent}/{new}"
    if target not in file:
        file.move(name, target)


def _removed(file: h5py.File, random: Random) -> None:
    del file[random.choice(_datasets(file))]


def _more(file: h5py.File, random: Random) -> None:
    group = random.choice([*{name.rpartition("/")[0] or "/" for name in _datasets(file)}])
    for number in range(random.choice([1, 300])):
        file.require_group(group).create_dataset(f"more {number}", data=np.zeros((6, 2), "f4"))


def _attribute(file: h5py.File, random: Random) -> None:
    """Change an attribute of the file: a value of its own kind, JSON within it, or any other."""
    names = [name for name in file.attrs if name != DIGEST]
    if not names:
        return
    name = random.choice(names)
    old = file.attrs[name]
    text = old.decode() if isinstance(old, bytes) else old
    if isinstance(text, str) and text[:1] in ("{", "[") and random.random() < 0.8:
        new: Any = spoil_json(text, random).replace("\0", "")[:60_000]
        file.attrs.pop(name)
        put_attributes(file, {name: new or " "})
        return
    file.attrs[name] = random.choice(
        ["", "x", "\x1b[31m", -1, 0, 2**40, 1.5, float("nan"), np.zeros(3), np.zeros((0,)), b"\xff"]
    )


_OF_HDF5: tuple[Callable[[h5py.File, Random], None], ...] = (
    _other_values, _other_values, _other_type, _claimed, _linked, _grouped, _renamed, _removed,
    _more, _attribute, _attribute, _attribute, _attribute,
)  # fmt: skip


def reseal(file: h5py.File) -> None:
    """Write the digests anew, as far as the file still allows it: only we know that it lies."""
    try:
        for name in _datasets(file):
            if file[name].size < 10**6:
                digest = hasher()
                digest.update(content(file[name][...]))
                file[name].attrs.pop(DIGEST, None)
                put_attributes(file[name], {DIGEST: digest.hexdigest()})
        recipe = attributes_of(file).get("recipe", "")
        if "recipe_digest" in file.attrs:
            canonical = json.dumps(json.loads(recipe), sort_keys=True, separators=(",", ":"))
            file.attrs.pop("recipe_digest")
            put_attributes(file, {"recipe_digest": blake2b(canonical.encode()).hex()})
        file.attrs.pop(DIGEST, None)
        put_attributes(file, {DIGEST: seal(file)})
    except Exception:  # no longer a feature file: it stays unsealed
        return
