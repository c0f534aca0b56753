"""An analyst's own estimator: what is accepted, what it becomes, what is refused."""

import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from features.errors import UsageError
from pipeline import classifiers
from pipeline.classifiers import SUITE
from pipeline.classifiers.base import Task, probabilities
from pipeline.classifiers.own import OwnClassifier
from tests.pipeline.featurefiles import clusters

TASK = Task(100, 12, 3, 7)


class Majority(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class, and has neither probabilities nor scores."""

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.most_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        return np.full(len(X), self.most_)


def own(estimator, space=None, name="mine"):
    (classifier,) = classifiers.choose([(name, estimator, space)])
    return classifier


def test_a_grid_is_all_combinations_and_numpy_values_become_plain():
    space = {"C": np.array([1, 10]), "gamma": (0.1, np.float32(1))}
    settings = own(SVC(), space).space
    assert settings == (
        {"model__C": 1, "model__gamma": 0.1},
        {"model__C": 1, "model__gamma": 1.0},
        {"model__C": 10, "model__gamma": 0.1},
        {"model__C": 10, "model__gamma": 1.0},
    )
    assert {type(value) for setting in settings for value in setting.values()} == {int, float}


def test_settings_may_be_listed_and_name_other_parameters_each():
    space = [{"kernel": "linear"}, {"kernel": "rbf", "gamma": 0.1}]
    assert own(SVC(), space).space == (
        {"model__kernel": "linear"},
        {"model__kernel": "rbf", "model__gamma": 0.1},
    )


@pytest.mark.parametrize("space", [None, {}, []])
def test_without_a_space_the_estimator_is_taken_as_it_is(space):
    classifier = own(GaussianNB(), space)
    assert classifier.space == ({},)
    assert classifier.default == {}


def test_the_estimator_is_cloned_and_gets_the_seed_where_it_has_none():
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3))
    classifier = own(estimator, {"randomforestclassifier__max_depth": [1, None]})
    pipeline = classifier.build(TASK)
    assert pipeline[-1][-1].random_state == 7
    x, y = clusters(100)
    pipeline.set_params(**classifier.space[0]).fit(x, y)
    assert estimator[-1].random_state is None
    assert not hasattr(estimator[-1], "estimators_")
    fixed = own(RandomForestClassifier(random_state=3)).build(TASK)
    assert fixed[-1].random_state == 3


def test_balanced_class_weights_are_searched_where_the_estimator_has_them():
    weighted = own(SVC(), {"C": [1, 2]}).with_class_weights().space
    balanced = {"model__class_weight": "balanced"}
    assert weighted == ({"model__C": 1}, {"model__C": 1} | balanced,
                        {"model__C": 2}, {"model__C": 2} | balanced)  # fmt: skip
    nested = own(make_pipeline(StandardScaler(), SVC())).with_class_weights()
    assert nested.space == ({}, {"model__svc__class_weight": "balanced"})
    nested.build(TASK).set_params(**nested.space[1])
    for left_alone in (
        own(GaussianNB()),
        own(SVC(class_weight="balanced")),
        own(SVC(), {"class_weight": [None, {0: 2}]}),
    ):
        assert left_alone.with_class_weights() == left_alone


@pytest.mark.parametrize("estimator", [SVC(), GaussianNB(), KNeighborsClassifier(), Majority()])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_kind_of_estimator_gives_probabilities(estimator, classes):
    x, y = clusters(90, classes=classes)
    model = own(estimator).build(TASK).fit(x, y)
    values = probabilities(model, x, classes)
    assert values.shape == (90, classes)
    assert np.allclose(values.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(values.argmax(axis=1), model.predict(x))


def test_the_digest_holds_class_parameters_and_space():
    digests = [
        own(estimator, space).digest
        for estimator, space in [
            (SVC(), None),
            (SVC(C=2), None),
            (SVC(), {"C": [1]}),
            (SVC(), {"C": [1, 2]}),
            (GaussianNB(), None),
            (GaussianNB(priors=[0.5, 0.5]), None),
        ]
    ]
    assert len(set(digests)) == len(digests)
    assert own(SVC()).digest == digests[0]
    x, y = clusters(90)
    assert own(SVC().fit(x, y)).digest == digests[0]


def test_the_digest_holds_the_code_of_the_class(tmp_path, monkeypatch):
    import importlib
    import linecache
    import sys

    code = "from sklearn.naive_bayes import GaussianNB\nclass Bayes(GaussianNB):\n    pass\n"
    path = tmp_path / "bayes_of_mine.py"
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for version in (code, code + "# changed\n", code):
        path.write_text(version)
        linecache.clearcache()
        sys.modules.pop("bayes_of_mine", None)
        importlib.invalidate_caches()
        digests.append(own(importlib.import_module("bayes_of_mine").Bayes()).digest)
    sys.modules.pop("bayes_of_mine")
    assert digests[0] == digests[2] != digests[1]


def in_main():
    kind = type("Mine", (GaussianNB,), {"__module__": "__main__"})
    import __main__

    __main__.Mine = kind
    return kind()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("my svm", SVC()), "called 'my svm', expected letters"),
        (("../x", SVC()), "expected letters"),
        ((7, SVC()), "expected letters"),
        (("logistic", SVC()), "'logistic', as is another one"),
        (("rbf-svm-nystroem", SVC()), "as is another one"),
        (("mine", LinearRegression()), "expected a classifier after scikit-learn's conventions"),
        (("mine", SVC), "as an instance"),
        (("mine", "svc"), "mine is 'svc', expected a classifier"),
        (("mine", SVC(), {"c": [1]}), "mine does not take {'c': 1}: Invalid parameter 'c'"),
        (("mine", SVC(), {"C": []}), "has a parameter without values"),
        (("mine", SVC(), {"C": 1}), "expected a dictionary of parameters and lists of values"),
        (("mine", SVC(), {"kernel": "rbf"}), "expected a dictionary"),
        (("mine", SVC(), "C"), "expected a dictionary"),
        (("mine", SVC(decision_function_shape="ovo")), "'ovo', expected 'ovr'"),
        (("mine", SVC(kernel=lambda a, b: a @ b.T)), "cannot be loaded in another process"),
        (("mine",), "expected a name or a tuple"),
        (SVC(), "expected a name or a tuple"),
        (3, "expected a name or a tuple"),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),  # equal in all processes
)
def test_what_cannot_be_a_candidate_is_told(choice, message):
    with pytest.raises(UsageError, match=message) as caught:
        classifiers.choose(["ridge", choice])
    assert "\n" not in str(caught.value)


def test_a_class_of_the_script_or_notebook_itself_is_refused():
    with pytest.raises(UsageError, match=r"define its class in a module of its own \(a .py file"):
        own(in_main())
    with pytest.raises(UsageError, match="the notebook or script itself"):
        own(make_pipeline(StandardScaler(), in_main()))


def test_names_and_own_estimators_stand_side_by_side():
    chosen = classifiers.choose(["ridge", ("a", SVC()), OwnClassifier("b", SVC()), "ridge"])
    assert [classifier.name for classifier in chosen] == ["ridge", "a", "b"]
    assert [classifier.own for classifier in chosen] == [False, True, True]
    with pytest.raises(UsageError, match="called 'a', as is another one"):
        classifiers.choose([("a", SVC()), ("a", GaussianNB())])
    assert classifiers.choose([]) == list(SUITE)
