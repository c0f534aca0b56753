"""The settings of every stage; each default stands here or in `features.config`, once.

A config brings its values into form and checks them as soon as it is made, so that a wrong value
is refused before any work is done.
"""

from features.config import ExtractConfig
from pipeline.config.choices import METRIC
from pipeline.config.classifying import AdviseConfig, ClassifyConfig, DemoConfig
from pipeline.config.consolidating import ConsolidateConfig
from pipeline.config.exporting import ExportConfig
from pipeline.config.judging import AddConfig, CompareConfig, EvaluateConfig, ReportConfig
from pipeline.config.looking import BackbonesConfig, FetchConfig, MapConfig
from pipeline.config.packing import PackConfig
from pipeline.config.predicting import PredictConfig
from pipeline.config.serving import ServeConfig
from pipeline.config.training import FinetuneConfig, NetworkConfig, ScratchConfig

__all__ = [
    "METRIC",
    "AddConfig",
    "AdviseConfig",
    "BackbonesConfig",
    "ClassifyConfig",
    "CompareConfig",
    "ConsolidateConfig",
    "DemoConfig",
    "EvaluateConfig",
    "ExportConfig",
    "ExtractConfig",
    "FetchConfig",
    "FinetuneConfig",
    "MapConfig",
    "NetworkConfig",
    "PackConfig",
    "PredictConfig",
    "ReportConfig",
    "ScratchConfig",
    "ServeConfig",
]
