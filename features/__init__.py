"""Offshelf's first half: pixels to a stored feature matrix.

    import features

    path = features.extract("photos/", "photos.h5", backbone="resnet50")
    with features.FeatureFile(path) as file:
        x, y = file.features(), file.labels

The public names are loaded on first use; importing this package imports neither TensorFlow nor
scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.config import ExtractConfig
    from features.errors import DataError, MissingPackageError, OffshelfError, UsageError
    from features.extraction.run import extract, read_source
    from features.sources import open_source
    from features.storage.store import FeatureFile
    from features.transformer import FeatureExtractor

__version__ = "0.2.0"

_MODULES = {
    "DataError": "features.errors",
    "ExtractConfig": "features.config",
    "FeatureExtractor": "features.transformer",
    "FeatureFile": "features.storage.store",
    "MissingPackageError": "features.errors",
    "OffshelfError": "features.errors",
    "UsageError": "features.errors",
    "extract": "features.extraction.run",
    "open_source": "features.sources",
    "read_source": "features.extraction.run",
}
__all__ = [
    "DataError",
    "ExtractConfig",
    "FeatureExtractor",
    "FeatureFile",
    "MissingPackageError",
    "OffshelfError",
    "UsageError",
    "extract",
    "open_source",
    "read_source",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'features' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
