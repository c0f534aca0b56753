"""Every classifier of the suite in every format: the probabilities that it gives itself."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from features.errors import UsageError
from features.processes.quiet import keras_here
from pipeline.classifiers import SUITE, find
from pipeline.classifiers.accelerated import plain
from pipeline.classifiers.base import Task, probabilities
from pipeline.classifiers.rbf_svm import RBF_SVM_NYSTROEM
from pipeline.exporting import heads
from pipeline.exporting.network import Parts
from pipeline.statistics import calibration
from tests.pipeline.exporting.formats import EXACT, FORMATS, through
from tests.pipeline.featurefiles import clusters

TEMPERATURE = 1.7
TREES = ("random-forest", "extra-trees", "gradient-boosting")
FAST = {
    "random-forest": {"model__n_estimators": 8}, "extra-trees": {"model__n_estimators": 8},
    "gradient-boosting": {"model__max_iter": 8}, "dense-head": {"model__epochs": 1},
}  # fmt: skip


def pixels_and_labels(classes, count=90, seed=0):
    """Images of 1 x 4 pixels, whose 12 values are the features: uint8 (n, 1, 4, 3), labels."""
    x, labels = clusters(count, 12, classes, seed)
    return np.clip(np.rint(20 * x), 0, 255).astype(np.uint8).reshape(-1, 1, 4, 3), labels


def fitted(classifier, x, labels):
    task = Task(len(x), 12, len(np.unique(labels)), 0)
    settings = classifier.default | FAST.get(classifier.name, {})
    return plain(classifier.build(task).set_params(**settings).fit(x, labels))


def in_parts(model, classes) -> Parts:
    keras = keras_here()
    given = keras.Input((1, 4, 3), dtype="uint8", name="pixels")
    features = keras.layers.Flatten()(keras.ops.cast(given, "float32"))
    head = heads.head(model, features, classes)
    if head.estimator is None:
        network = keras.Model(given, heads.calibrated(head.values, TEMPERATURE))
        return Parts(network, (1, 4), EXACT, classes, head.exact)
    after = heads.after(head.estimator, classes, TEMPERATURE)
    network = keras.Model(given, head.values)
    return Parts(network, (1, 4), EXACT, classes, head.exact, head.estimator, after)


def check(model, classes, folder, form, tolerance=1e-5):
    new, _ = pixels_and_labels(classes, 40, seed=7)
    expected = calibration.apply(
        probabilities(model, new.reshape(-1, 12).astype(np.float32), classes), TEMPERATURE
    )
    assert len(np.unique(expected.round(6), axis=0)) > 1 or "dummy" in str(model).lower()
    made = through(form, in_parts(model, classes), new, folder)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=tolerance)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("classifier", [*SUITE, RBF_SVM_NYSTROEM], ids=lambda c: c.name)
def test_each_classifier_gives_its_probabilities(classifier, form, tmp_path):
    if form != "onnx" and classifier.name in TREES:
        pytest.skip("trees are for ONNX alone")
    x, labels = pixels_and_labels(3)
    model = fitted(classifier, x.reshape(-1, 12).astype(np.float32), labels)
    check(model, 3, tmp_path, form)


@pytest.mark.parametrize("name", [c.name for c in SUITE if c.name != "dense-head"])
def test_two_classes_of_which_others_were_not_seen(name, tmp_path):
    """Scores of two classes are one column; a class without a row gets what calibration leaves."""
    x, labels = pixels_and_labels(2)
    model = fitted(find(name), x.reshape(-1, 12).astype(np.float32), labels * 2)  # 0 and 2 of 4
    check(model, 4, tmp_path, "onnx", tolerance=1e-4)  # 1 - p of what is nearly 1, in float32


def test_a_shrunk_centroid_and_a_feature_that_never_varies(tmp_path):
    x, labels = pixels_and_labels(3)
    x[:, 0, 0, 0] = 9
    classifier = find("nearest-centroid")
    model = classifier.build(Task(90, 12, 3, 0)).set_params(model__shrink_threshold=1.0)
    with pytest.warns(UserWarning, match="zero standard deviation"):
        model.fit(x.reshape(-1, 12).astype(np.float32), labels)
    check(model, 3, tmp_path, "onnx", tolerance=1e-4)


def test_a_pipeline_of_ones_own_is_taken_as_far_as_it_is_known(tmp_path):
    x, labels = pixels_and_labels(3)
    rows = x.reshape(-1, 12).astype(np.float32)
    for own in (
        make_pipeline(StandardScaler(), make_pipeline(GaussianNB())),
        make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
    ):
        check(own.fit(rows, labels), 3, tmp_path, "onnx")


def test_what_no_operator_expresses_is_refused_in_one_line(tmp_path):
    x, labels = pixels_and_labels(3)

    class Mine(GaussianNB):
        pass

    rows = x.reshape(-1, 12).astype(np.float32)
    model = make_pipeline(QuantileTransformer(n_quantiles=9), Mine()).fit(rows, labels)
    with pytest.raises(UsageError, match="no format can hold a Pipeline .*`pack` carries it"):
        through("onnx", in_parts(model, 3), x, tmp_path)


def test_neighbours_of_too_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(heads, "LARGEST", 1000)
    x, labels = pixels_and_labels(3)
    model = fitted(find("knn-cosine"), x.reshape(-1, 12).astype(np.float32), labels)
    with pytest.raises(UsageError, match="90 rows of 12 values.*`pack` carries it"):
        in_parts(model, 3)
