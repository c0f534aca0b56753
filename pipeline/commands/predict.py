"""`predict`: new images by a candidate."""

import argparse
from pathlib import Path
from typing import Any

from features.config import AUTO, ENGINES, PRECISIONS
from pipeline.commands.arguments import (
    RESULTS,
    add_choosing_options,
    add_json_option,
    add_judging_options,
    add_rebuilding_options,
    given,
    option_adder,
)
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command
from pipeline.config import PredictConfig
from pipeline.config.predicting import EXPLAINED


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "predict",
        "tell the classes of new images",
        "predict results new-photos/ --out predictions.csv",
    )
    command.add_argument(
        "results", type=Path, metavar="FOLDER", help=f"{RESULTS}, one candidate's in it, or a pack"
    )
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="one source, as `extract` takes it, or image files; - reads their paths from standard "
        "input",
    )
    option = option_adder(command, PredictConfig)
    option("--out", "the table to write, .csv or .parquet", type=Path, metavar="FILE")
    add_choosing_options(option)
    add_judging_options(option)
    option(
        "--explain",
        f"a folder for pictures of where the evidence lies, of the first {EXPLAINED} images",
        type=Path,
        metavar="FOLDER",
    )
    option(
        "--submission",
        "a competition's sample file: predictions are also written with its ids, in its order, and "
        "its columns",
        type=Path,
        metavar="FILE",
    )
    add_rebuilding_options(option)
    option(
        "--engine",
        "the engine, if another than that of the features learned from",
        choices=(AUTO, *ENGINES),
    )
    option("--precision", "the precision, if another than theirs", choices=(AUTO, *PRECISIONS))
    option("--limit", "take only that many images, spread evenly", type=int, metavar="N")
    option("--restart", "discard what an earlier run left", action="store_true")
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import new_predictions as report
        from pipeline.stages import predict

        result = predict.run(PredictConfig(**given(options, PredictConfig)))
        show(as_json(report.data(result)) if options.json else report.text(result))

    command.set_defaults(run=run, unfinished=_unfinished)
    return command


def _unfinished(options: argparse.Namespace) -> Path | None:
    from pipeline.stages import predict

    return predict.unfinished(PredictConfig(**given(options, PredictConfig)))
