"""Own networks and their weights, spoiled within their formats: ONNX, OpenVINO, Keras, PyTorch."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile.spoiling import NAMES, NUMBERS, spoil_bytes, spoil_json
from tests.hostile.spoiling_archives import spoil_zip
from tests.hostile.spoiling_hdf5 import spoil_hdf5

_WHOLE = [number for number in NUMBERS if isinstance(number, int) and -(2**63) <= number < 2**63]
_OPERATIONS = ("Loop", "If", "Expand", "Tile", "Pad", "ConstantOfShape", "Range", "TopK", "Gather", "Resize",
               "NonMaxSuppression", "Einsum", "LSTM", "Identity", "Transpose", "Reshape", "Evil")  # fmt: skip
_LAYERS = ("Lambda", "TFSMLayer", "Dense", "LSTM", "MultiHeadAttention", "UpSampling2D", "ZeroPadding2D", "Evil",
           "RepeatVector", "Normalization", "StringLookup", "Functional")  # fmt: skip


def spoil_onnx(path: Path, random: Random) -> None:
    """Change nodes, tensors, names, shapes or edges of an ONNX file, or let a layer grow."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for _ in range(random.choice([1, 1, 2, 3])):
        random.choice(_OF_ONNX)(model, random)
    path.write_bytes(model.SerializeToString())


def _operation(model: Any, random: Random) -> None:
    random.choice(model.graph.node).op_type = random.choice(_OPERATIONS)


def _attribute(model: Any, random: Random) -> None:
    node = random.choice([node for node in model.graph.node if node.attribute] or [None])
    if node is None:
        return
    attribute = random.choice(node.attribute)
    if attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(_WHOLE)
    else:
        attribute.i, attribute.name = (
            random.choice(_WHOLE),
            random.choice([attribute.name, *NAMES[:3]]),
        )


def _tensor(model: Any, random: Random) -> None:
    tensor = random.choice(model.graph.initializer)
    way = random.randrange(4)
    if way == 0:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(_WHOLE)
    elif way == 1:
        tensor.raw_data = spoil_bytes(tensor.raw_data, random)
    elif way == 2:
        tensor.data_type = random.choice([0, 2, 7, 8, 10, 11, 16, 77])
    else:
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        place = tensor.external_data.add()
        place.key, place.value = (
            "location",
            random.choice(["/etc/passwd", "../net.onnx", "net.onnx", *NAMES]),
        )


def _edge(model: Any, random: Random) -> None:
    node, other = random.choice(model.graph.node), random.choice(model.graph.node)
    node.input[random.randrange(len(node.input))] = random.choice([*other.output, *NAMES[:4], ""])


def _name(model: Any, random: Random) -> None:
    node, new = random.choice(model.graph.node), random.choice(NAMES)
    node.name, old = new, node.output[0]
    for each in model.graph.node:
        each.input[:] = [new if name == old else name for name in each.input]
    node.output[0] = new


def _shape(model: Any, random: Random) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    random.choice(dims).dim_value = random.choice(_WHOLE)


def _facts(model: Any, random: Random) -> None:
    model.opset_import[0].version = random.choice([1, 7, 17, 25, 9999])
    fact = model.metadata_props.add()
    fact.key = random.choice(
        ["Image.NominalPixelRange", "Image.BitmapPixelFormat", "model_info mean_values", *NAMES]
    )
    fact.value = random.choice(["Normalized_0_1", "1e999 0 0", "Bgr8", "x" * 10**5, *NAMES])


def _growing(model: Any, random: Random) -> None:
    """Put layers behind the first one that make it large, or many."""
    import numpy as np
    from onnx import helper, numpy_helper

    first = model.graph.node[0].output[0]
    way = random.randrange(3)
    if way == 0:
        nodes = [
            helper.make_node("Relu", [f"n{n}" if n else first], [f"n{n + 1}"]) for n in range(3000)
        ]
    elif way == 1:
        times = np.array([1, 1, 10 ** random.choice([3, 6]), 10**3], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(times, "times"))
        nodes = [helper.make_node("Tile", [first, "times"], ["tiled"])]
    else:
        pads = np.array([0, 0, 0, 0, 0, 0, random.choice([10**5, 2**40]), 0], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(pads, "pads"))
        nodes = [helper.make_node("Pad", [first, "pads"], ["padded"])]
    model.graph.node.extend(nodes)
    if random.random() < 0.5:
        model.graph.output[0].name = nodes[-1].output[0]


_OF_ONNX: tuple[Callable[[Any, Random], None], ...] = (
    _operation, _operation, _attribute, _attribute, _tensor, _tensor, _edge, _name, _shape, _facts, _growing,
)  # fmt: skip


def spoil_keras(path: Path, random: Random) -> None:
    """Change the config of a `.keras` file, its weights, or the archive itself."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = random.randrange(8)
    if way == 0:
        return spoil_zip(path, random)
    if way <= 2:
        weights = path.with_name("w.h5")
        weights.write_bytes(members["model.weights.h5"])
        spoil_hdf5(weights, random)
        members["model.weights.h5"] = weights.read_bytes()
        weights.unlink()
    elif way == 3:
        members["config.json"] = spoil_json(members["config.json"].decode(), random).encode(
            errors="replace"
        )
    else:
        config = json.loads(members["config.json"])
        for _ in range(random.choice([1, 1, 2])):
            _config(random.choice(list(_entries(config))), random)
        members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _entries(value: Any) -> Any:
    """Yield every dictionary in a config."""
    if isinstance(value, dict):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _entries(inner)


def _config(entry: dict[str, Any], random: Random) -> None:
    """Change one value of a layer: its class, where that comes from, its name, its numbers."""
    key = random.choice([*entry, "module"])
    old = entry.get(key)
    if key == "class_name":
        entry[key] = random.choice(_LAYERS)
    elif key in ("module", "registered_name"):
        entry[key] = random.choice(
            ["os", "builtins", "keras.src.utils", "keras", None, "subprocess"]
        )
    elif isinstance(old, str):
        entry[key] = random.choice([*NAMES, "system", "relu", "same", "float16"])
    elif isinstance(old, list) and old and all(isinstance(each, int | None) for each in old):
        old[random.randrange(len(old))] = random.choice([*_WHOLE, None, 100, 5000])
    else:
        entry[key] = random.choice([*NUMBERS, None, [], {}, 100, 5000, 100_000])


def spoil_weights(path: Path, random: Random) -> None:
    """Change a `.safetensors` or `.pth` file: its header, its archive, its pickle, its tensors."""
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = spoil_json(content[8 : 8 + length].decode(), random).encode(errors="replace")
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    elif random.random() < 0.3:
        spoil_zip(path, random)
    else:
        _spoil_pickle(path, random)


class _Harm:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._call = call, arguments

    def __reduce__(self) -> Any:
        return self._call


def _spoil_pickle(path: Path, random: Random) -> None:
    import torch

    tensors = torch.load(path, weights_only=True)
    name = random.choice(sorted(tensors))
    tensors[name] = random.choice([
        _Harm(print, "evil"), _Harm(bytearray, 2**40), torch.zeros(random.choice([(), (0,), (3, 3)])), None, [1, [2]],
        torch.zeros(1).expand(10**6, 10**6), torch.zeros(5, dtype=torch.complex64), "x" * 10**6,
        torch.zeros(2, 2).to_sparse(), tensors[name] * float("nan"), torch.empty(10**5, 10**5, device="meta"),
    ])  # fmt: skip
    if random.random() < 0.3:
        tensors[random.choice(NAMES)] = tensors.pop(name)
    file = io.BytesIO()
    torch.save(tensors if random.random() < 0.9 else {"state_dict": tensors}, file)
    path.write_bytes(file.getvalue())
