"""A candidate on int8 features predicts by the very network that made them, or not at all."""

import shutil

import pytest

from features.config import ExtractConfig
from features.errors import DataError, UsageError
from features.extraction import run as extraction
from pipeline.config import ClassifyConfig, PackConfig, PredictConfig
from pipeline.stages import classify, pack, predict
from tests.features.backbones.own_networks import convolutional
from tests.pipeline.networks.images import colours, write_arrays

MOVED = "moved.onnx"


@pytest.fixture(scope="module", params=["mobilenet", "my.onnx"])
def home(request, tmp_path_factory):
    """Results and a pack of int8 features, with what they predicted; the cache is gone by now."""
    folder = tmp_path_factory.mktemp("int8")
    source = write_arrays(folder / "c.npz", *colours(48, 32))
    settings = {"backbone": request.param, "weights": "none"}
    if request.param == "my.onnx":
        path = convolutional(folder / request.param)
        settings = {"backbone": str(path), "scaling": "unit"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFSHELF_CACHE", str(folder / "cache"))
        file = extraction.run(
            ExtractConfig(
                source, folder / "f.h5", image_size=32, precision="int8", force_int8=True,
                progress=False, **settings,
            )
        )  # fmt: skip
        classify.run(
            ClassifyConfig((file,), folder / "results", ("ridge",), folds=2, progress=False)
        )
        pack.run(PackConfig(folder / "results", folder / "m.zip", "best", with_weights=True))
        predicted(folder, folder / "results", folder / "then.csv")
    shutil.rmtree(folder / "cache")
    if request.param == "my.onnx":
        path.rename(folder / MOVED)
    return folder


def predicted(home, place, out, **settings):
    config = PredictConfig(place, home / "c.npz", out, candidate="best", progress=False, **settings)
    return predict.run(config).path.read_bytes()


def test_a_pack_carries_the_quantized_network(home, cache, tmp_path):
    then = (home / "then.csv").read_bytes()
    assert predicted(home, home / "m.zip", tmp_path / "p.csv") == then
    with pytest.raises(UsageError, match="--precision float32: the network at hand is int8"):
        predicted(home, home / "m.zip", tmp_path / "q.csv", precision="float32")


def test_without_it_nothing_is_predicted_but_by_another_precision(home, cache, tmp_path):
    with pytest.raises(DataError, match="repeat their extraction, which makes it again"):
        predicted(home, home / "results", tmp_path / "p.csv")
    weights = str(home / MOVED) if (home / MOVED).exists() else None
    predicted(home, home / "results", tmp_path / "p.csv", precision="float32", weights=weights)
