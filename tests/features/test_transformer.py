"""The scikit-learn transformer gives what `extract` stores, and is an estimator like any other."""

import pickle
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import features
from features import DataError, FeatureExtractor, UsageError, transformer

SMALL = {"backbone": "mobilenetv2", "weights": "none", "image_size": 32, "batch_size": 4}
ENGINES = pytest.mark.parametrize(
    "engine", [name for name in ("openvino", "tensorflow") if find_spec(name)]
)
ORIENTATION = 0x0112


def stored(source, out, layer=None, **options):
    path = features.extract(source, out, progress=False, **(SMALL | options))
    with features.FeatureFile(path) as file:
        assert not file.rejected
        return file.features(layer)


def files_of_all_kinds(folder):
    """Ten files, sorted: colour and grey PNGs, one of 16 bits, a JPEG that lies on its side."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        shape = (*rng.integers(30, 90, 2), 3)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{number}.png")
    grey = Image.fromarray(rng.integers(0, 256, (40, 50), np.uint8))
    grey.save(folder / "7 grey.png")
    Image.fromarray(rng.integers(0, 2**16, (40, 50), np.uint16)).save(folder / "8 deep.png")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
    photo.save(folder / "9 turned.jpg", exif=exif)
    return sorted(folder.iterdir())


@ENGINES
def test_features_are_those_of_extract_to_the_bit(tmp_path, engine):
    """Of paths and of opened images, with a last batch that is not full."""
    paths = files_of_all_kinds(tmp_path / "images")
    expected = stored(tmp_path / "images", tmp_path / "out.h5", engine=engine)
    extractor = FeatureExtractor(**SMALL, engine=engine)
    found = extractor.transform(paths)
    assert (found.shape, found.dtype) == ((10, 1280), np.float32)
    assert expected.std() > 0
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(extractor.transform([str(path) for path in paths]), expected)
    np.testing.assert_array_equal(extractor.transform(np.array(paths, dtype=object)), expected)
    np.testing.assert_array_equal(extractor.transform([*map(Image.open, paths)]), expected)


@ENGINES
def test_arrays_give_what_extract_stores_of_them(tmp_path, engine):
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    expected = stored(tmp_path / "x.npz", tmp_path / "out.h5", engine=engine)
    extractor = FeatureExtractor(**SMALL, engine=engine)
    np.testing.assert_array_equal(extractor.transform(images), expected)
    np.testing.assert_array_equal(
        extractor.transform([Image.fromarray(pixels) for pixels in images]), expected
    )


def test_settings_are_those_of_extract(photos, tmp_path):
    """And several layers stand side by side in the order in which they were asked for."""
    options = {
        "resize": "crop", "interpolation": "bicubic", "pooling": "max", "exact_decode": True,
        "precision": "float32", "seed": 3, "layers": "out_relu, block_2_add",
    }  # fmt: skip
    extractor = FeatureExtractor(**(SMALL | options))
    found = extractor.fit_transform(sorted(photos.glob("*/*.png")))
    expected = [
        stored(photos, tmp_path / "out.h5", layer, **options)
        for layer in ("out_relu", "block_2_add")
    ]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))
    names = extractor.get_feature_names_out()
    assert len(names) == 1280 + 24
    assert list(names[[0, 1279, 1280, -1]]) == [
        "out_relu_0", "out_relu_1279", "block_2_add_0", "block_2_add_23",
    ]  # fmt: skip


def test_a_tiff_of_12_bits_opened_by_the_user(tmp_path):
    from tests.features.pictures import tiff

    folder = tmp_path / "images"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, 40 * 60, np.uint8)  # 12 bits a pixel
    (folder / "a.tif").write_bytes(tiff(40, 40, 12, 1, values.tobytes()))
    expected = stored(folder, tmp_path / "out.h5")
    with Image.open(folder / "a.tif") as image:
        np.testing.assert_array_equal(FeatureExtractor(**SMALL).transform([image]), expected)


def test_flattened_maps_are_vectors(photos):
    paths = sorted(photos.glob("*/*.png"))[:3]
    found = FeatureExtractor(**SMALL, layers="block_12_add", pooling="flatten").transform(paths)
    assert found.shape == (3, 2 * 2 * 96)


def test_a_descriptor_takes_the_place_of_the_network(photos, tmp_path):
    expected = features.extract(photos, tmp_path / "out.h5", backbone="colour", progress=False)
    extractor = FeatureExtractor("colour")
    with features.FeatureFile(expected) as file:
        found = extractor.transform(sorted(photos.glob("*/*.png")))
        np.testing.assert_array_equal(found, file.features())
    assert extractor.get_feature_names_out()[-1] == "histogram_255"


def test_images_are_left_as_they_were():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.new("RGB", (40, 60), (1, 2, 3))
    image.info["exif"] = exif.tobytes()
    before = (image.size, image.info.copy(), image.tobytes())
    FeatureExtractor(**SMALL).transform([image, image])
    assert (image.size, image.info, image.tobytes()) == before


def test_a_step_of_a_pipeline(photos):
    """Fitted, cross-validated and searched through with the image paths as its input."""
    paths = np.array(sorted(map(str, photos.glob("*/*.png"))))
    labels = np.array([path.split("/")[-2] for path in paths])
    model = make_pipeline(FeatureExtractor(**SMALL), LogisticRegression(max_iter=500))
    assert model.fit(paths, labels).score(paths, labels) == 1
    grid = {"featureextractor__pooling": ["avg", "max"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(paths, labels)
    assert len(search.cv_results_["mean_test_score"]) == 2


def test_a_frame_as_output(photos):
    paths = sorted(photos.glob("*/*.png"))[:2]
    extractor = FeatureExtractor(**SMALL).set_output(transform="pandas")
    frame = extractor.fit_transform(paths)
    assert list(frame.columns[:2]) == ["out_relu_0", "out_relu_1"]
    assert frame.shape == (2, 1280)


def test_joblib_keeps_what_was_computed(photos, tmp_path, monkeypatch):
    paths = sorted(photos.glob("*/*.png"))
    labels = [path.parent.name for path in paths]
    memory = joblib.Memory(tmp_path / "memory", verbose=0)
    make = lambda: make_pipeline(FeatureExtractor(**SMALL), LogisticRegression(), memory=memory)  # noqa: E731
    first = make().fit(paths, labels)
    monkeypatch.setattr(transformer, "forward", None)  # would raise if it were called
    second = make().fit(paths, labels)
    np.testing.assert_array_equal(first[-1].coef_, second[-1].coef_)


def test_clone_and_pickle_keep_the_settings_alone(photos):
    paths = sorted(photos.glob("*/*.png"))[:2]
    extractor = FeatureExtractor(**SMALL, layers=["out_relu"])
    expected = extractor.transform(paths)
    for copy in (clone(extractor), pickle.loads(pickle.dumps(extractor))):
        assert copy.get_params() == extractor.get_params()
        np.testing.assert_array_equal(copy.transform(paths), expected)
    assert len(pickle.dumps(extractor)) < 2000
    assert clone(extractor).set_params(pooling="max").pooling == "max"
    assert joblib.hash(extractor) == joblib.hash(FeatureExtractor(**SMALL, layers=["out_relu"]))


def test_equal_settings_share_one_network(photos):
    transformer._compiled.cache_clear()
    paths = sorted(photos.glob("*/*.png"))[:2]
    for resize in ("stretch", "crop"):
        FeatureExtractor(**SMALL, resize=resize).transform(paths)
    assert transformer._compiled.cache_info().misses == 1


def test_no_images_give_no_rows():
    assert FeatureExtractor(**SMALL).transform([]).shape == (0, 1280)


def test_an_image_that_cannot_be_read_is_named(photos, tmp_path):
    extractor, paths = FeatureExtractor(**SMALL), sorted(photos.glob("*/*.png"))
    missing = tmp_path / "missing.png"
    with pytest.raises(DataError, match=r"missing\.png: cannot be read: No such file .*extract"):
        extractor.transform([*paths, missing])
    paths[5].write_bytes(paths[5].read_bytes()[:100])
    with pytest.raises(DataError, match=r"cat/5\.png: cannot be decoded: .*truncated"):
        extractor.transform(paths)
    with Image.open(paths[5]) as image, pytest.raises(DataError, match=r"image 1: .*truncated"):
        extractor.transform([Image.new("RGB", (40, 40)), image])
    with pytest.raises(DataError, match=r"photos: cannot be read: Is a directory"):
        extractor.transform([photos])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3)), r"pixels are float64 of shape \(2, 8, 8, 3\), expected uint8"),
        (np.zeros((8, 8, 3), np.uint8), "expected uint8 from 0 to 255 of shape"),
        (np.zeros((2, 8, 8), np.uint8), "expected uint8 from 0 to 255 of shape"),
        ("photo.jpg", "X='photo.jpg': expected a sequence of paths"),
        ([3], r"X\[0\]=3: expected a path"),
        (None, "X=None: expected a sequence"),
    ],
)
def test_what_is_no_images(images, message):
    with pytest.raises(UsageError, match=message):
        FeatureExtractor(**SMALL).transform(images)
    if images is not None:
        with pytest.raises(UsageError, match=message):
            FeatureExtractor(**SMALL).fit(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "none"}, "expected a pooling that gives a vector"),
        ({"pooling": "mean"}, "no pooling is called 'mean'"),
        ({"backbone": "vgg17"}, "no backbone is called"),
        ({"image_size": 16}, "at least 32 pixels"),
    ],
)
def test_settings_are_checked_by_fit(options, message):
    extractor = FeatureExtractor(**(SMALL | options))  # scikit-learn wants no checks here
    with pytest.raises(UsageError, match=message):
        extractor.fit()


def test_what_scikit_learn_is_told():
    tags = get_tags(FeatureExtractor())
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert "backbone='vgg16'" in repr(FeatureExtractor("vgg16"))
