"""What commands import when they need it, so that it is there before the first limit is set.

PyTorch is left out, which skops finds by way of scikit-learn: its MKL fails where memory is limited.
"""

import importlib
import sys
from typing import Any


class _WithoutTorch:
    def find_spec(self, name: str, *others: Any) -> None:
        if name == "torch":
            raise ImportError("it is not imported here")


sys.meta_path.insert(0, without := _WithoutTorch())
for name in (
    "tests.hostile.targets", "openTSNE", "pandas", "plotly.graph_objects", "pyarrow.parquet",
    "sklearn.pipeline", "sklearn.linear_model", "skops.io", "scipy.stats",
):  # fmt: skip
    importlib.import_module(name)
sys.meta_path.remove(without)
