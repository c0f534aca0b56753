"""Gradient boosting on histograms as one operator of ONNX.

skl2onnx 1.20 gives it boolean attributes, which protobuf no longer takes for numbers.
"""

from typing import Any

import numpy as np

from pipeline.exporting.onnx_graph import Graph, Value


def boosting(graph: Graph, estimator: Any, value: Value) -> Value:
    """Add the trees of a HistGradientBoostingClassifier; return its raw scores.

    Args:
        graph: the graph.
        estimator: fitted.
        value: what it takes, float32 (n, d).

    Returns:
        float32 (n, K), or (n, 1) for two classes: the score of the second.
    """
    trees = [tree.nodes for iteration in estimator._predictors for tree in iteration]
    nodes = np.concatenate(trees)
    sizes = [len(tree) for tree in trees]
    of_tree = np.repeat(np.arange(len(trees)), sizes)
    in_tree = np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    targets = estimator.n_trees_per_iteration_
    names = graph.node(
        "TreeEnsembleRegressor",
        [value],
        domain="ai.onnx.ml",
        n_targets=targets,
        base_values=np.ravel(estimator._baseline_prediction).astype(np.float32).tolist(),
        nodes_treeids=of_tree.tolist(),
        nodes_nodeids=in_tree.tolist(),
        nodes_featureids=np.where(leaf, 0, nodes["feature_idx"]).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=np.where(leaf, 0, _rounded_down(nodes["num_threshold"])).tolist(),
        nodes_truenodeids=np.where(leaf, 0, nodes["left"]).astype(np.int64).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, nodes["right"]).astype(np.int64).tolist(),
        nodes_missing_value_tracks_true=nodes["missing_go_to_left"].astype(np.int64).tolist(),
        target_treeids=of_tree[leaf].tolist(),
        target_nodeids=in_tree[leaf].tolist(),
        target_ids=(of_tree[leaf] % targets).tolist(),
        target_weights=nodes["value"][leaf].astype(np.float32).tolist(),
    )
    return Value(names[0], (None, targets))


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 at most; a float32 is then below the same thresholds."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
