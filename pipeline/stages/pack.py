"""The pack stage: a candidate and all that it needs to predict, as one file to carry away."""

import dataclasses
import hashlib
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from features.disk import durable, sealed
from features.errors import DataError, UsageError
from features.extraction.planning import network_folder
from features.extraction.rebuilding import CONVERTS
from pipeline.config import PackConfig
from pipeline.predictors.agreement import probe
from pipeline.predictors.kit import EVIDENCE, NETWORK, NOTE, PROBE, SCHEMA, Kit, PackNote, open_kit
from pipeline.predictors.of_images import ImagePredictor, image_predictor
from pipeline.results.in_stores import in_stores
from pipeline.results.records import RECORD, Record, versions

_PATHS = ("file", "source")  # in a record's inputs: where its maker's files lie


@in_stores(reads=("results",), files=("out",))
def run(config: PackConfig) -> Path:
    """Pack a candidate; return the path of the pack.

    Raises:
        UsageError: no results folder, an unknown candidate, or an output that is something else.
        DataError: a record, the model or the predictions are missing or damaged.
        MissingPackageError: the candidate needs a package.
    """
    durable.prepare_folder(config.out.parent)
    _check_replaceable(config.out)
    with open_kit(config.results, config.candidate, config.metric, config.features) as kit:
        predictor = image_predictor(kit, config.weights, trust=config.trust)
        files = _files(kit, predictor)
        network = _converted(predictor) if config.with_weights else None
        if network is not None:
            files |= {f"{NETWORK}/{network.name}/{p.name}": p for p in sorted(network.iterdir())}
        _write(config.out, kit.record.name, files, network.name if network else "")
    return config.out


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as pack:
            if NOTE in pack.namelist():
                return
    raise UsageError(f"{path} is there already and was not made by `pack`; choose another --out")


def _files(kit: Kit, predictor: ImagePredictor) -> dict[str, bytes | Path]:
    """Return what goes into the pack by its path there, but for the network."""
    record, home = kit.record, kit.record.name
    model = record.model["file"]
    of_its_own = PurePath(model).name != model  # an estimator of an analyst's own lies apart
    place = model if of_its_own else f"{home}/{model}"
    return {
        f"{home}/{RECORD}": _without_paths(record).to_json().encode(),
        place: kit.results / place,
        f"{home}/{EVIDENCE}": kit.evidence.to_bytes(),
        f"{home}/{PROBE}": probe(predictor).to_bytes(),
    }


def _without_paths(record: Record) -> Record:
    return dataclasses.replace(record, inputs=_stripped(record.inputs))


def _stripped(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return inputs with the names of files in place of their paths."""
    kept = {
        name: PurePath(value).name if name in _PATHS else value for name, value in inputs.items()
    }
    if "parts" in inputs:
        kept["parts"] = [_stripped(part) for part in inputs["parts"]]
    return kept


def _converted(predictor: ImagePredictor) -> Path:
    """Return the folder in which OpenVINO keeps the network of a candidate."""
    if len(predictor.rebuilt) > 1:
        raise UsageError(
            "--with-weights packs one network, and this candidate has "
            f"{len(predictor.rebuilt)}; leave the option out"
        )
    rebuilt = predictor.rebuilt[0] if predictor.rebuilt else None
    if rebuilt is None or rebuilt.model.choice.engine != CONVERTS:
        raise UsageError(
            f"--with-weights packs a network that {CONVERTS} has converted, and this candidate has "
            "none; leave the option out"
        )
    folder = rebuilt.converted or network_folder(rebuilt.recipe)
    if not folder.is_dir():
        raise DataError(f"the converted network could not be kept in {folder}; is the disk full?")
    return folder


def _write(path: Path, candidate: str, files: dict[str, bytes | Path], network: str) -> None:
    """Write the pack: every file as it is, and the note with their checksums."""
    digests = {}
    with durable.replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as pack:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            digests[name] = hashlib.sha256(data).hexdigest()
            pack.writestr(name, data)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made_by = versions("numpy", "scikit-learn", "keras", "openvino")
        note = PackNote(SCHEMA, candidate, digests, network, made_by, now)
        values: dict[str, Any] = sealed.sealed(dataclasses.asdict(note))
        pack.writestr(NOTE, json.dumps(values, indent=1))
