"""A PyTorch module written down as a graph of operations, and the graph made lighter.

Keras keeps images channels-last and PyTorch's convolutions think channels-first. What the one's
backend does about it is written down too: permutations, which only change how memory is read, and
copies into another order, which cost as much as some convolutions. The copies are left out, so that
everything stays channels-last in memory, as the fast convolutions of CPUs and GPUs want it. What
depends on weights alone is computed once.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

_ops = torch.ops.aten
_CHECKS = {_ops._assert_tensor_metadata.default}
_COPIES = {_ops.contiguous.default}
_CASTS = {_ops.to.dtype, _ops.to.dtype_layout, _ops.to.device, _ops._to_copy.default}
_BACK = (0, 2, 3, 1)  # from channels-first to channels-last


def written_down(module: torch.nn.Module, pixels: torch.Tensor) -> GraphModule:
    """Return a graph that computes what a module does, for pixels of the same shape and dtype.

    Args:
        module: in evaluation mode.
        pixels: an example of its one input.
    """
    with torch.no_grad():
        graph = torch.export.export(module, (pixels,), strict=False).module(check_guards=False)
        _shape_of_everything(graph, pixels)
        _leave_out_what_does_nothing(graph)
        _compute_constants(graph)
        _take_biases_into_convolutions(graph)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _shape_of_everything(graph: GraphModule, pixels: torch.Tensor) -> None:
    """Note each node's value without content, as `meta["val"]`, where exporting has not."""
    for node in graph.graph.nodes:
        if node.op == "get_attr" and "val" not in node.meta:
            node.meta["val"] = _attribute(graph, node)
        elif node.op == "placeholder":
            node.meta["val"] = pixels


def _leave_out_what_does_nothing(graph: GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.target in _CHECKS or (node.op == "call_module" and not node.users):
            graph.graph.erase_node(node)
        elif node.target in _COPIES or (node.target in _CASTS and _is_same_type(node)):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _is_same_type(node: Node) -> bool:
    before, after = node.args[0].meta["val"], node.meta["val"]
    return before.dtype == after.dtype and before.device.type == after.device.type


def _compute_constants(graph: GraphModule) -> None:
    """Replace operations on weights alone by their results."""
    for node in list(graph.graph.nodes):
        inputs = node.all_input_nodes
        is_pure = node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
        if is_pure and inputs and all(one.op == "get_attr" for one in inputs):
            values = {one: _attribute(graph, one) for one in inputs}
            arguments, options = torch.fx.node.map_arg(
                (node.args, node.kwargs), lambda one, values=values: values[one]
            )
            _replace_by_constant(graph, node, node.target(*arguments, **options))


def _replace_by_constant(graph: GraphModule, node: Node, value: torch.Tensor) -> Node:
    name = f"constant_{node.name}"
    if value.ndim == 4:
        value = value.contiguous(memory_format=torch.channels_last)
    graph.register_buffer(name, value.clone(memory_format=torch.preserve_format))
    with graph.graph.inserting_before(node):
        constant = graph.graph.get_attr(name)
    constant.meta["val"] = value
    node.replace_all_uses_with(constant)
    graph.graph.erase_node(node)
    return constant


def _take_biases_into_convolutions(graph: GraphModule) -> None:
    """Let a convolution add the constant of each channel that is added behind it."""
    for node in list(graph.graph.nodes):
        if node.target is not _ops.add.Tensor or node.kwargs or len(node.args) != 2:
            continue
        back, bias = node.args
        if not (isinstance(back, Node) and isinstance(bias, Node) and bias.op == "get_attr"):
            continue
        if back.target is not _ops.permute.default or tuple(back.args[1]) != _BACK:
            continue
        conv, values = back.args[0], _attribute(graph, bias)
        is_plain = conv.target is _ops.conv2d.default and conv.args[2:3] in ((), (None,))
        is_alone = len(conv.users) == len(back.users) == 1
        if (
            is_plain
            and is_alone
            and values.numel() == values.shape[-1] == conv.meta["val"].shape[1]
        ):
            name = f"bias_{conv.name}"
            graph.register_buffer(name, values.reshape(-1).clone())
            with graph.graph.inserting_before(conv):
                own = graph.graph.get_attr(name)
            conv.args = (*conv.args[:2], own, *conv.args[3:])
            node.replace_all_uses_with(back)
            graph.graph.erase_node(node)


def _attribute(graph: GraphModule, node: Node) -> torch.Tensor:
    get: Callable[[Any], Any] = operator.attrgetter(str(node.target))
    return get(graph).detach()
