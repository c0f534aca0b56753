"""int8: an OpenVINO network quantized after training, by NNCF.

Weights become int8 per output channel, and what flows between layers int8 by ranges that are read
off while calibration images pass through the float32 network (Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). The mean error that
this leaves in each layer is corrected by its bias (Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction", section 4.2).
"""

import contextlib
import io
import logging
from typing import Any

from features.engines.base import Calibrate
from features.errors import MissingPackageError
from features.processes.quiet import import_without


def quantize(model: Any, calibrate: Calibrate) -> Any:
    """Return the quantized model; the same images give the same one, to the bit.

    Args:
        model: an OpenVINO model that takes any number of images.
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
    images = calibrate()
    # Ranges are those of each image, averaged, however many pass through at a time.
    settings = nncf.AdvancedQuantizationParameters(batchwise_statistics=True)
    with contextlib.redirect_stdout(io.StringIO()):  # where NNCF draws bars of its own
        return nncf.quantize(
            model, nncf.Dataset(images), subset_size=len(images), advanced_parameters=settings
        )
