"""int8: an OpenVINO network quantized after training, by NNCF.

Weights become int8 per output channel, and what flows between layers int8 by ranges that are read
off while calibration images pass through the float32 network (Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). The mean error that
this leaves in each layer is corrected by its bias (Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction", section 4.2). In a transformer some channels are
far larger than others, which is moved from what flows into the weights first (Xiao et al. 2023,
"SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models"), and
what is not a product with weights stays as it is.
"""

import contextlib
import io
import logging
from typing import Any

from features.engines.base import Calibrate
from features.errors import MissingPackageError
from features.processes.quiet import import_without

_TOGETHER = 10  # images that pass through a network at a time while it is calibrated


def quantize(model: Any, calibrate: Calibrate) -> Any:
    """Return the quantized model; the same images give the same one, to the bit.

    Args:
        model: an OpenVINO model that takes any number of images, or one at a time.
        calibrate: gives the images.

    Raises:
        MissingPackageError: NNCF is not installed.
    """
    try:
        # With this package NNCF would report each run to its maker; without it nothing is sent.
        nncf = import_without("openvino_telemetry", "nncf")
    except ImportError:
        raise MissingPackageError(
            '`pip install "offshelf[int8]"` brings what int8 needs (nncf)'
        ) from None
    logging.getLogger("nncf").setLevel(logging.ERROR)  # set_log_level silences shared handlers, too
    kind = nncf.ModelType.TRANSFORMER if is_transformer(model) else None
    # Ranges are those of each image, averaged, however many pass through at a time: but for
    # transformers, which have other axes before that of the images within.
    is_single = kind is not None or model.input(0).get_partial_shape().is_static
    images = calibrate(1 if is_single else _TOGETHER)
    settings = nncf.AdvancedQuantizationParameters(batchwise_statistics=not is_single)
    with contextlib.redirect_stdout(io.StringIO()):  # where NNCF draws bars of its own
        return nncf.quantize(
            model, nncf.Dataset(images), subset_size=len(images), model_type=kind,
            advanced_parameters=settings,
        )  # fmt: skip


def is_transformer(model: Any) -> bool:
    """Tell whether a graph has attention: a product with what a softmax gives."""
    return any(
        node.get_type_name() == "ScaledDotProductAttention"
        or (node.get_type_name() == "MatMul" and _is_softmax(node.input_value(0).get_node()))
        for node in model.get_ops()
    )


def _is_softmax(node: Any) -> bool:
    return str(node.get_type_name()) == "Softmax"
