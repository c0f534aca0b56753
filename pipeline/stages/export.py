"""The export stage: a candidate as one network file, shown to predict what the candidate does."""

import logging
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from features.disk import durable
from features.disk.leftovers import scratch_folder
from features.errors import DataError, MissingPackageError, UsageError
from pipeline.config import ExportConfig
from pipeline.exporting.metadata import facts, takes
from pipeline.exporting.network import Parts, in_float32, parts_of
from pipeline.networks import storage as networks
from pipeline.networks.precision import FLOAT32
from pipeline.predictors.agreement import check_agreement
from pipeline.predictors.kit import open_kit
from pipeline.predictors.of_images import ImagePredictor, image_predictor, recipes_of
from pipeline.predictors.probe import IMAGES, drawn_images
from pipeline.results.in_stores import in_stores
from pipeline.results.records import NETWORK, Record

log = logging.getLogger("offshelf")

_FORMATS = {".onnx": "onnx", ".keras": "keras", "": "openvino"}  # modules of `pipeline.exporting`
_PACKAGES = {"onnx": ("onnx", "onnxruntime", "skl2onnx"), "openvino": ("openvino",)}
_TITLES = {"keras": "Keras", "openvino": "OpenVINO"}
_TOLERANCE = 1e-4  # of a probability
_SAME = 0.5  # the share of images that agree, at least, where single votes may move


@in_stores(reads=("results",), files=("out",))
def run(config: ExportConfig) -> Path:
    """Export a candidate; return the path of the file, or of OpenVINO's folder.

    Raises:
        UsageError: no results folder, an unknown candidate, a format that cannot hold it, or an
            output that is something else.
        DataError: a record or the model are missing or damaged, or the file does not predict what
            the candidate does.
        MissingPackageError: a package of the extra `export` is missing, or one that the candidate
            needs.
    """
    form = _format(config.out)
    durable.prepare_folder(config.out.parent)
    _check_replaceable(config.out, form)
    with open_kit(config.results, config.candidate, config.metric, config.features) as opened:
        kit, then = in_float32(opened), _precision(opened.record)
        if then != FLOAT32:
            log.info("%s computes in %s, what is exported in %s", opened.record.name, then, FLOAT32)
        predictor = image_predictor(kit, config.weights, None, FLOAT32, config.trust)
        check_agreement(kit, predictor, config.features, chosen=then != FLOAT32)
        parts = parts_of(kit, predictor, config.trust)
        _check_holds(parts, config.out)
        example = form.EXAMPLE.format(name=config.out.name)
        resizes = form.RESIZES and parts.resizing.inside
        told = facts(kit.record, parts, predictor.loading, example, resizes)
        with scratch_folder(config.out.parent, "export") as scratch:
            draft = scratch / config.out.name
            form.write(parts, draft, told)
            _check_same(form, draft, parts, predictor)
            _place(draft, config.out)
    log.info("%s takes %s", config.out, takes(parts, resizes))
    return config.out


def _format(out: Path) -> ModuleType:
    """Return the module that writes a format."""
    name = _FORMATS[out.suffix]
    if any(find_spec(package) is None for package in _PACKAGES.get(name, ())):
        raise MissingPackageError(
            f'`pip install "offshelf[export]"` brings what --out {out.name} needs'
        )
    return import_module(f"pipeline.exporting.{name}_file")


def _check_replaceable(path: Path, form: ModuleType) -> None:
    durable.recover_folder(path)
    if path.exists() and (path.is_dir() != (path.suffix == "") or not form.is_ours(path)):
        raise UsageError(
            f"{path} is there already and was not made by `export`; choose another --out"
        )


def _precision(record: Record) -> str:
    """Return in which precision a candidate's network computes."""
    if record.kind == NETWORK:
        return str(record.model[networks.NETWORK].get("precision", FLOAT32))
    found = dict.fromkeys(recipe.precision for recipe in recipes_of(record))
    return " and ".join(found)


def _check_holds(parts: Parts, out: Path) -> None:
    if parts.estimator is not None and _FORMATS[out.suffix] != "onnx":
        kind = type(parts.estimator).__name__
        raise UsageError(
            f"--out {out.name}: {_TITLES[_FORMATS[out.suffix]]} has no operators for a {kind}; a "
            "file ending in .onnx can hold it, and `pack` carries it"
        )


def _check_same(form: ModuleType, draft: Path, parts: Parts, predictor: ImagePredictor) -> None:
    """Compare what the file predicts of drawn images, read by its runtime, with the candidate."""
    pixels = drawn_images(predictor.batch_size, predictor.size)
    expected = predictor.probabilities(predictor.vectors(pixels))[:IMAGES]  # (n, K)
    made = form.probabilities(draft, pixels[:IMAGES])
    differences = np.abs(made - expected).max(axis=1)  # (n,)
    worst, same = float(differences.max()), float((differences <= _TOLERANCE).mean())
    said = f"probabilities of {IMAGES} drawn images differ from `predict`'s by {worst:.1e}"
    if worst <= _TOLERANCE:
        log.info("%s at most", said)
    elif parts.exact or same < _SAME:
        raise DataError(f"{said}, expected {_TOLERANCE:.0e} at most; nothing was written")
    else:
        log.warning("%s at most: by rounding, single votes fall to another class", said)


def _place(draft: Path, out: Path) -> None:
    """Move what was written to its place."""
    if draft.is_dir():
        durable.place_folder(draft, out)
        return
    with draft.open("rb") as source, durable.replacing(out) as target:
        shutil.copyfileobj(source, target)
