"""Small networks in ONNX files, as other people's exporters write them, with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32


def constant(name, *shape, seed=0, spread=0.2):
    values = np.random.default_rng([seed, len(name)]).normal(0, spread, shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def convolutional(path, batch="batch", size=SIZE, channels=3, metadata=()):
    """Two convolutions, as PyTorch exports them: channels first, names with slashes."""
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["/stem/conv_out"], "/stem/conv",
                         strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["/stem/conv_out"], ["/stem/relu_out"], "/stem/relu"),
        helper.make_node("Conv", ["/stem/relu_out", "w2"], ["/block/conv_out"], "/block/conv",
                         strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["/block/conv_out"], ["/block/relu_out"], "/block/relu"),
        helper.make_node("GlobalAveragePool", ["/block/relu_out"], ["pooled"], "/pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "/flatten"),
        helper.make_node("Gemm", ["flat", "w3"], ["scores"], "/head"),
    ]  # fmt: skip
    weights = [constant("w1", 8, channels, 3, 3), constant("b1", 8), constant("w2", 16, 8, 3, 3),
               constant("w3", 16, 5)]  # fmt: skip
    return save(path, nodes, weights, [batch, channels, size, size], [batch, 5], metadata)


def channels_last(path, domain=""):
    """A convolution as TensorFlow's converters write it: images channels last, turned round."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], "to_first", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "w1"], ["maps"], "conv", strides=[2, 2]),
        helper.make_node("Transpose", ["maps"], ["back"], "to_last", perm=[0, 2, 3, 1]),
        helper.make_node("Tanh", ["back"], ["activated"], "tanh", domain=domain),
    ]
    weights = [constant("w1", 8, 3, 3, 3)]
    return save(path, nodes, weights, ["batch", SIZE, SIZE, 3], ["batch", 15, 15, 8])


def transformer(path):
    """Patches as tokens, one more for the class, a layer normalization and a dense layer."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["patches"], "/embed", strides=[8, 8]),
        helper.make_node("Reshape", ["patches", "shape"], ["lines"], "/reshape"),
        helper.make_node("Transpose", ["lines"], ["tokens"], "/transpose", perm=[0, 2, 1]),
        helper.make_node("Pad", ["tokens", "pads"], ["all"], "/class"),
        helper.make_node("MatMul", ["all", "w2"], ["mixed"], "/mix"),
        helper.make_node("LayerNormalization", ["mixed", "scale"], ["normed"], "/norm", axis=-1),
    ]
    weights = [
        constant("w1", 12, 3, 8, 8), constant("w2", 12, 12), constant("scale", 12),
        numpy_helper.from_array(np.array([0, 12, -1], np.int64), "shape"),
        numpy_helper.from_array(np.array([0, 1, 0, 0, 0, 0], np.int64), "pads"),
    ]  # fmt: skip
    return save(path, nodes, weights, ["batch", 3, SIZE, SIZE], ["batch", 17, 12])


def attending(path):
    """Patches as tokens that look at one another: a product with what a softmax gives."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["patches"], "/embed", strides=[8, 8]),
        helper.make_node("Reshape", ["patches", "shape"], ["lines"], "/reshape"),
        helper.make_node("Transpose", ["lines"], ["tokens"], "/transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["tokens", "w2"], ["asked"], "/ask"),
        helper.make_node("MatMul", ["asked", "lines"], ["scores"], "/scores"),
        helper.make_node("Softmax", ["scores"], ["shares"], "/shares", axis=-1),
        helper.make_node("MatMul", ["shares", "tokens"], ["mixed"], "/mix"),
        helper.make_node("MatMul", ["mixed", "w3"], ["projected"], "/project"),
    ]
    weights = [
        constant("w1", 12, 3, 8, 8), constant("w2", 12, 12), constant("w3", 12, 12, seed=1),
        numpy_helper.from_array(np.array([0, 12, -1], np.int64), "shape"),
    ]  # fmt: skip
    return save(path, nodes, weights, ["batch", 3, SIZE, SIZE], ["batch", 16, 12])


def single(path):
    """A convolution of one image at a time: the number is written into the graph."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["maps"], "/conv", strides=[2, 2],
                         pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["maps", "shape"], ["same"], "/reshape"),
        helper.make_node("Conv", ["same", "w2"], ["deeper"], "/deeper", strides=[2, 2]),
    ]  # fmt: skip
    weights = [constant("w1", 8, 3, 3, 3), constant("w2", 16, 8, 3, 3),
               numpy_helper.from_array(np.array([1, 8, 16, 16], np.int64), "shape")]  # fmt: skip
    return save(path, nodes, weights, [1, 3, SIZE, SIZE], [1, 16, 7, 7])


def save(path, nodes, weights, taken, given, metadata=()):
    graph = helper.make_graph(
        nodes, "own",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, given)],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    return path


def reference(path, pixels):
    """Every value that onnx' own evaluator computes, channels first, by name."""
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(path)
    for node in model.graph.node:
        known = [output.name for output in model.graph.output]
        for name in node.output:
            if name not in known:
                model.graph.output.append(
                    helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                )
    names = [output.name for output in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(None, {"image": pixels}), strict=True))
