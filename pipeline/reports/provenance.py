"""The origin of results: recipes, settings, versions, and the commands that make them again."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from features.records import decoding_options
from features.sources.reading import note_sentences
from pipeline.classifiers import SUITE
from pipeline.command_lines import command_line, option_text
from pipeline.config import ClassifyConfig, CompareConfig, ExtractConfig
from pipeline.data.joined import written
from pipeline.data.layers import parts_of
from pipeline.results.records import CLASSIFIER, Record
from pipeline.results.report import Report, Source

# Settings of an extraction that recipes keep under the option's own name.
_EXTRACTION = ("pooling", "resize", "interpolation", "batch_size", "store")


def commands(report: Report) -> list[str]:
    """Return the commands that lead to these results, as far as records know them."""
    comparison = report.comparison
    entries = comparison.ranking.entries
    lines = [extraction(source) for source in report.sources]
    for folder in dict.fromkeys(comparison.config.results):
        records = [entry.record for entry in entries if entry.folder.parent == folder]
        # No command makes an analyst's own estimator, which is not trusted.
        learned = [record for record in records if record.kind == CLASSIFIER and _trusted(record)]
        if learned:
            lines.append(classification(learned, folder, comparison.ranking.splits.count))
        lines += [
            record.inputs["command"] + (" --threshold" if record.threshold else "")
            for record in records
            if "command" in record.inputs
        ]
    options = {"metric": comparison.config.metric, "seed": comparison.config.seed}
    results = [str(folder) for folder in dict.fromkeys(comparison.config.results)]
    lines.append(_line("compare", *results, **_changed(CompareConfig, options)))
    for folder, opened in report.openings.items():
        names = dict.fromkeys(opening.candidate for opening in opened)
        own = {entry.record.name for entry in entries if not _trusted(entry.record)}
        lines += [
            _line("evaluate", str(folder), candidate=name, **{"trust": True} if name in own else {})
            for name in names
        ]
    return lines


def _trusted(record: Record) -> bool:
    return record.model.get("trusted", True)


def extraction(source: Source) -> str:
    """Return the command that makes a feature file."""
    recipe = source.recipe
    height, width = recipe["image_size"]
    options = {
        "backbone": recipe["backbone"],
        "layers": ",".join(recipe["layers"]),
        "image_size": f"{height}" if height == width else f"{height}x{width}",
        "weights": recipe["weights"].get("origin", ExtractConfig.weights),
        "engine": recipe["engine"],
        "precision": recipe["precision"],
    }
    options |= _changed(
        ExtractConfig,
        {
            **{name: recipe[name] for name in _EXTRACTION},
            **decoding_options(recipe.get("decoding", "")),
            **source.options,
        },
    )
    return _line("extract", source.location or "SOURCE", out=str(source.path), **options)


def classification(records: list[Record], folder: Path, folds: int) -> str:
    """Return the command that makes the classifiers of a results folder."""
    files = dict.fromkeys(part["file"] for record in records for part in parts_of(record.inputs))
    methods = list(dict.fromkeys(record.requested for record in records))
    layers = dict.fromkeys(written(record.inputs) for record in records)
    first = records[0]
    options: dict[str, Any] = {"out": str(folder)}
    if set(methods) < {classifier.name for classifier in SUITE}:
        options["classifiers"] = ",".join(methods)
    if any(
        "parts" in inputs or inputs["layer"] != inputs["recipe"]["layers"][-1]
        for inputs in (record.inputs for record in records)
    ):
        options["layers"] = ",".join(layers)
    if folds > 1:
        options["folds"] = folds
    budget = "none" if first.budget is None else f"{first.budget:g}s"
    if first.budget != ClassifyConfig.budget:
        options["budget"] = budget
    options |= _changed(ClassifyConfig, {"metric": first.metric, "seed": first.seed})
    if any(record.threshold for record in records):
        options["threshold"] = True
    spaces = {classifier.name: len(classifier.space) for classifier in SUITE}
    if all(len(record.trials) == 1 for record in records) and any(
        spaces.get(record.method, 1) > 1 for record in records
    ):
        options["no_tune"] = True
    return _line("classify", *files, **options)


def _changed(config: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from the defaults of a stage."""
    default = {field.name: field.default for field in fields(config)}
    return {name: value for name, value in options.items() if value != default[name]}


def _line(command: str, *arguments: str, **options: Any) -> str:
    words = [command, *arguments]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [option_text(value)])]
    return command_line(*words)


def recipes(report: Report) -> list[dict[str, Any]]:
    """Return the recipe of each feature file in words, and its rejected images."""
    return [
        {
            "file": str(source.path),
            "problem": source.problem,
            "facts": dict(_recipe(source)),
            "rejected": source.rejected,
            "reading": source.reading.sentence() if source.reading else "",
            "warnings": [
                *(source.reading.warnings if source.reading else ()),
                *note_sentences(source.notes),
            ],
        }
        for source in report.sources
    ]


def _recipe(source: Source) -> Iterator[tuple[str, str]]:
    recipe = source.recipe
    weights, images = recipe["weights"], recipe["source"]
    height, width = recipe["image_size"]
    yield "images", f"{images['count']:,}, {images['kind']} {source.location or ''}"
    yield "fingerprint", images.get("fingerprint", "unknown")
    yield "backbone", f"{recipe['backbone']}, layers {', '.join(recipe['layers'])}"
    facts = {"source" if key == "origin" else key: value for key, value in weights.items()}
    yield "weights", ", ".join(f"{key} {value}" for key, value in facts.items())
    yield (
        "pixels",
        (
            f"{height} × {width}, {recipe['resize']}, {recipe['interpolation']}, "
            f"scaling {recipe['scaling'].get('name', 'none')}"
        ),
    )
    yield "pooling", f"{recipe['pooling']}, stored as {recipe['store']}"
    yield (
        "forward",
        (f"{recipe['engine']}, {recipe['precision']}, batches of {recipe['batch_size']}"),
    )
    yield "versions", ", ".join(f"{name} {number}" for name, number in recipe["versions"].items())


def versions(report: Report) -> dict[str, str]:
    """Return the packages that candidates were fitted with, each with all its versions."""
    packages: dict[str, dict[str, None]] = {}
    for entry in report.comparison.ranking.entries:
        for name, number in entry.record.versions.items():
            packages.setdefault(name, {})[number] = None
    return {name: ", ".join(numbers) for name, numbers in sorted(packages.items())}


def settings(record: Record) -> str:
    """Return the chosen parameters in words."""
    return ", ".join(f"{key.rpartition('__')[2]} {value}" for key, value in record.setting.items())
