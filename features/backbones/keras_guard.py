"""A `.keras` file of anybody's: its config is looked through before Keras builds what it names.

Keras builds a network by the names of classes and functions in the config. Here they must be layers
and operations of Keras' own that compute and do nothing else, so that no code in a file runs, and
none that the file merely names.
"""

import functools
import importlib
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from features.errors import DataError
from features.text import reason_of

CONFIG = "config.json"
_JSON_BYTES = 2**26
_MOST_ENTRIES = 2_000_000
_MOST_DEPTH = 200

# Layers that run code of the file or of other libraries, or read other files.
_REFUSED = {"Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer", "StringLookup",
            "IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing"}  # fmt: skip
# What Keras writes for values and tensors, not for classes.
_VALUES = {"__keras_tensor__", "__tuple__", "__slice__", "__ellipsis__", "__numpy__", "__tensor__"}
_MODELS = {"Functional", "Sequential", "Model"}
_CODE = "no code that a file holds or names is run; save the part of the network without it"


def read_config(content: bytes) -> dict[str, Any]:
    """Return the config of a model in a `.keras` file, which Keras may build.

    Args:
        content: the file.

    Raises:
        DataError: it is no such file, or names what is not admitted.
        MissingPackageError: Keras is not installed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(CONFIG).file_size > _JSON_BYTES:
                raise DataError(f"its {CONFIG} has more than {_JSON_BYTES >> 20} MiB")
            config = json.loads(archive.read(CONFIG))
    except DataError:
        raise
    except Exception as error:  # zipfile and json raise many kinds
        detail = reason_of(error)
        raise DataError(f"it is no file that Keras 3 wrote: {detail}") from None
    if not isinstance(config, dict):
        raise DataError(f"it is no file that Keras 3 wrote: its {CONFIG} holds no model")
    config.pop("compile_config", None)  # losses and optimizers are of no use
    if config.get("class_name") not in _MODELS:
        raise DataError(f"it holds a model of class {config.get('class_name')!r:.60}; {_CODE}")
    for entry in _entries(config):
        _check(entry)
    return config


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary that names a class."""
    waiting, seen = [(config, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > _MOST_DEPTH or seen > _MOST_ENTRIES:
            raise DataError("its config is nested too deep, or too long")
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]


def _check(entry: dict[str, Any]) -> None:
    """Raise DataError unless a class or function is one of Keras' own that computes."""
    name, module = entry["class_name"], entry.get("module")
    if isinstance(name, str) and name in _VALUES:
        return
    known_as = entry.get("registered_name")
    if name == "function":
        if not _is_activation(entry.get("config"), module, known_as):
            raise DataError(f"it names the function {entry.get('config')!r:.60}; {_CODE}")
        return
    is_own = isinstance(name, str) and (known_as in (None, "", name))
    if not (is_own and name not in _REFUSED and (_is_class(name, module))):
        raise DataError(f"it holds {name!r:.60} of {module!r:.60}; {_CODE}")


def _is_activation(name: Any, module: Any, known_as: Any) -> bool:
    import keras

    return (
        isinstance(name, str)
        and known_as in (None, "", name)
        and module in ("builtins", "keras.activations", "keras.src.activations.activations")
        and callable(getattr(keras.activations, name, None))
    )


def _is_class(name: str, module: Any) -> bool:
    if module is None:  # as in the entries of dtype policies
        return name in _public_classes()
    if not isinstance(module, str) or not module.startswith("keras"):
        return False
    if module.startswith(("keras.src.ops.", "keras.ops")):
        return _is_operation(name, module)
    return name in _public_classes()


@functools.cache
def _public_classes() -> frozenset[str]:
    import keras

    places = (keras.layers, keras.initializers, keras.regularizers, keras.constraints,
              keras.dtype_policies)  # fmt: skip
    names = {name for place in places for name in dir(place) if name[0].isupper()}
    return frozenset(names | _MODELS)


def _is_operation(name: str, module: str) -> bool:
    import keras

    if module not in {f"keras.src.ops.{part}" for part in ("numpy", "nn", "math", "core", "image")}:
        return False
    found = getattr(importlib.import_module(module), name, None)
    return isinstance(found, type) and issubclass(found, keras.Operation)
