"""The functions of the analyst's API: each makes a config and calls the stage of a command."""

from pipeline.api.classifying import advise, classify, splits
from pipeline.api.judging import add_predictions, compare, evaluate, report
from pipeline.api.looking import consolidate, fetch, inspect, map_features
from pipeline.api.predicting import export, pack, predict
from pipeline.api.training import finetune, scratch

__all__ = [
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
