"""Offshelf's second half: everything after the feature file, and the commands.

    import pipeline

    results = pipeline.classify("photos.h5", "results", classifiers="logistic, rbf-svm")
    comparison = pipeline.compare(results)
    comparison.frame()

The public names are loaded on first use; importing this package imports neither TensorFlow nor
scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.errors import DataError, MissingPackageError, OffshelfError, UsageError
    from pipeline.api import (
        add_predictions,
        advise,
        classify,
        compare,
        consolidate,
        evaluate,
        export,
        fetch,
        finetune,
        inspect,
        map_features,
        pack,
        predict,
        report,
        scratch,
        splits,
    )
    from pipeline.results.advice import Advice
    from pipeline.results.comparison import Comparison
    from pipeline.results.evaluation import Evaluation
    from pipeline.results.folder import ResultsFolder
    from pipeline.results.inspection import Inspection
    from pipeline.results.map import Map
    from pipeline.results.new_predictions import NewPredictions
    from pipeline.results.report import Report

_HOMES = {
    "Advice": "pipeline.results.advice",
    "Comparison": "pipeline.results.comparison",
    "DataError": "features.errors",
    "Evaluation": "pipeline.results.evaluation",
    "Inspection": "pipeline.results.inspection",
    "Map": "pipeline.results.map",
    "MissingPackageError": "features.errors",
    "NewPredictions": "pipeline.results.new_predictions",
    "OffshelfError": "features.errors",
    "Report": "pipeline.results.report",
    "ResultsFolder": "pipeline.results.folder",
    "UsageError": "features.errors",
    "add_predictions": "pipeline.api",
    "advise": "pipeline.api",
    "classify": "pipeline.api",
    "compare": "pipeline.api",
    "consolidate": "pipeline.api",
    "evaluate": "pipeline.api",
    "export": "pipeline.api",
    "fetch": "pipeline.api",
    "finetune": "pipeline.api",
    "inspect": "pipeline.api",
    "map_features": "pipeline.api",
    "pack": "pipeline.api",
    "predict": "pipeline.api",
    "report": "pipeline.api",
    "scratch": "pipeline.api",
    "splits": "pipeline.api",
}
__all__ = [
    "Advice",
    "Comparison",
    "DataError",
    "Evaluation",
    "Inspection",
    "Map",
    "MissingPackageError",
    "NewPredictions",
    "OffshelfError",
    "Report",
    "ResultsFolder",
    "UsageError",
    "add_predictions",
    "advise",
    "classify",
    "compare",
    "consolidate",
    "evaluate",
    "export",
    "fetch",
    "finetune",
    "inspect",
    "map_features",
    "pack",
    "predict",
    "report",
    "scratch",
    "splits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
