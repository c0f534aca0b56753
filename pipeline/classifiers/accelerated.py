"""Estimators of scikit-learn in Intel's implementation, where that is faster and equal.

Of those in scikit-learn-intelex these two won clearly when measured on an AMD EPYC, with equal
predictions. Its forests are others than scikit-learn's with the same seed; its linear models and
PCA were not clearly faster.
"""

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

_FASTER = {("svm", "SVC"), ("neighbors", "KNeighborsClassifier")}


def estimator(module: str, name: str) -> Any:
    """Return the class `sklearn.<module>.<name>`, or its equal that is faster on this machine.

    Intel's cannot be loaded after OpenVINO, whose own TBB is an older one; then it is
    scikit-learn's too.
    """
    if (module, name) in _FASTER:
        with suppress(ImportError):
            return getattr(import_module(f"sklearnex.{module}"), name)
    return getattr(import_module(f"sklearn.{module}"), name)


def plain(model: "Pipeline") -> "Pipeline":
    """Return a fitted pipeline whose steps are scikit-learn's own and our own alone.

    What Intel's classes learned is copied to the classes that they derive from; predictions stay.
    """
    from sklearn.pipeline import Pipeline

    return Pipeline([(name, _plain(step)) for name, step in model.steps])


def _plain(step: "BaseEstimator") -> "BaseEstimator":
    if not type(step).__module__.startswith("sklearnex."):
        return step
    own = next(kind for kind in type(step).__mro__ if kind.__module__.startswith("sklearn."))
    parameters = step.get_params()
    copy = own(**{name: parameters[name] for name in own().get_params()})
    if hasattr(step, "_fit_X"):  # of neighbours the rows are all there is to learn
        return copy.fit(step._fit_X, step.classes_[step._y])
    return _with_vectors(copy, step)


def _with_vectors(copy: "BaseEstimator", svc: "BaseEstimator") -> "BaseEstimator":
    """Give an unfitted SVC what another has learned, as scikit-learn keeps it: in float64."""
    for name in ("classes_", "class_weight_", "fit_status_", "shape_fit_", "n_features_in_",
                 "_gamma", "_sparse"):  # fmt: skip
        setattr(copy, name, getattr(svc, name))
    for name in ("support_", "_n_support", "n_iter_"):
        setattr(copy, name, np.asarray(getattr(svc, name), np.int32))
    for name in ("support_vectors_", "dual_coef_", "intercept_"):
        setattr(copy, name, np.ascontiguousarray(getattr(svc, name), np.float64))
    sign = -1 if len(svc.classes_) == 2 else 1  # what is shown of two classes is of the second
    copy._dual_coef_, copy._intercept_ = sign * copy.dual_coef_, sign * copy.intercept_
    copy._probA = copy._probB = np.empty(0)
    copy._num_iter, copy._effective_probability = copy.n_iter_, False
    return copy
