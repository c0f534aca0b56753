"""What people would otherwise write: Keras, PyTorch, and OpenVINO with nothing around it.

Each function builds its network, warms up on a batch, then times everything from opening the
first file to the finished output. All have the same input size and average pooling.
"""

import importlib.util
import sys
import time
from typing import Any

import numpy as np

from benchmarks.images import jpegs
from benchmarks.jobs import Job, SkippedError
from benchmarks.timing import forward_rate
from features.backbones.catalog import find
from features.backbones.network import build
from features.backbones.weights import resolve
from features.engines import use_keras_on
from features.engines.hardware import cpu_has_bfloat16

Figures = dict[str, Any]


def keras_predict(job: Job) -> Figures:
    """(a) The script: image_dataset_from_directory, preprocess_input, model.predict, np.save."""
    model, preprocess = _keras_model(job)
    import keras

    def dataset(images: int) -> Any:
        files = keras.utils.image_dataset_from_directory(
            job.folder, image_size=(job.size, job.size), batch_size=job.batch, shuffle=False,
            verbose=False,
        )  # fmt: skip
        return files.map(lambda x, _: preprocess(x)).take(images // job.batch).prefetch(2)

    model.predict(dataset(job.batch), verbose=0)
    started = time.perf_counter()
    np.save(job.scratch / "predict.npy", model.predict(dataset(job.full_batches), verbose=0))
    return {"whole": job.full_batches / (time.perf_counter() - started), "images": job.full_batches}


def keras_loop(job: Job) -> Figures:
    """(b) The tutorials' loop: one image at a time."""
    model, preprocess = _keras_model(job)
    from keras.utils import img_to_array, load_img

    def extract(files: list) -> np.ndarray:
        features = []
        for path in files:
            image = load_img(path, target_size=(job.size, job.size))
            pixels = preprocess(np.expand_dims(img_to_array(image), axis=0))
            features.append(model.predict(pixels, verbose=0)[0])
        return np.array(features)

    files = jpegs(job.folder)[: job.images]
    extract(files[:2])
    started = time.perf_counter()
    np.save(job.scratch / "loop.npy", extract(files))
    return {"whole": len(files) / (time.perf_counter() - started), "images": len(files)}


def torch_eager(job: Job) -> Figures:
    """(c) PyTorch: a DataLoader with a worker a core, eager mode, channels last, np.save."""
    if importlib.util.find_spec("torch") is None:
        raise SkippedError("torch is not installed")
    import torch

    from benchmarks.torch_networks import NETWORKS, JpegFiles

    if job.backbone not in NETWORKS:
        raise SkippedError("no plain torch.nn version here")
    dtype = getattr(torch, job.precision)
    model = NETWORKS[job.backbone]().eval().to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    files = JpegFiles(jpegs(job.folder)[: job.full_batches], job.size)

    def forward(batch: torch.Tensor) -> np.ndarray:
        batch = batch.to(dtype=dtype, memory_format=torch.channels_last)
        return model(batch).float().numpy()

    with torch.inference_mode():
        ready = torch.stack([files[n] for n in range(job.batch)])
        rate = forward_rate(lambda: forward(ready), job.batch)
        started = time.perf_counter()
        loader = torch.utils.data.DataLoader(files, job.batch, num_workers=torch.get_num_threads())
        np.save(job.scratch / "torch.npy", np.concatenate([forward(batch) for batch in loader]))
    seconds = time.perf_counter() - started
    return {"whole": len(files) / seconds, "forward": rate, "images": len(files)}


def openvino_own(job: Job) -> Figures:
    """(d) The limit: Keras' model converted and compiled by OpenVINO, on a ready float32 batch."""
    if importlib.util.find_spec("openvino") is None:
        raise SkippedError("openvino is not installed")
    from features.engines.openvino_engine import openvino  # imported without its telemetry

    model, preprocess = _keras_model(job)
    import tensorflow as tf

    shape = (job.batch, job.size, job.size, 3)
    function = tf.function(lambda pixels: model(pixels, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    hint = "bf16" if cpu_has_bfloat16() else "f32"
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(openvino.convert_model(concrete), "CPU", settings)
    pixels = preprocess(np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32))
    return {"forward": forward_rate(lambda: compiled(pixels), job.batch), "images": job.batch}


def _keras_model(job: Job) -> tuple[Any, Any]:
    """Return the network of keras.applications, average-pooled, and its preprocess_input."""
    use_keras_on("tensorflow")
    backbone, size = find(job.backbone), (job.size, job.size)
    base = build(backbone, size)
    resolve(backbone, job.weights).load_into(base)
    import keras

    builder = getattr(keras.applications, backbone.builder)
    model = builder(include_top=False, weights=None, pooling="avg", input_shape=(*size, 3))
    model.set_weights(base.get_weights())
    return model, sys.modules[builder.__module__].preprocess_input
