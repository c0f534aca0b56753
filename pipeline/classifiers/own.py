"""An analyst's own estimator as a candidate, searched and judged like the suite's classifiers."""

import itertools
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.errors import UsageError
from features.text import reason_of
from pipeline.classifiers.base import Classifier, Setting, Task

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

# A grid, whose combinations are the settings, or the settings themselves.
SearchSpace = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SEED = "random_state"


@dataclass(frozen=True)
class OwnClassifier:
    """A classifier of scikit-learn's kind that an analyst adds to the comparison.

    The estimator is cloned, never changed. It sees the features as they are stored: give a
    scikit-learn pipeline where they are to be scaled first. Where a parameter `random_state` is
    None, it gets the seed of the run. Probabilities are those of `predict_proba`; an estimator
    without it gets the softmax of its `decision_function`, as the suite's do, and one without
    either gets 1 for the class that it predicts.

    Attributes:
        name: letters, digits, "-" and "_"; none of the suite's names.
        estimator: the classifier, fitted or not; its class comes from a module that can be imported
            again, not from a notebook or from the script itself.
        space: a dictionary of parameters, each with a list of values, of which all combinations are
            tried; or a list of settings, each a dictionary; empty or None takes the estimator as
            it is.
    """

    name: str
    estimator: "BaseEstimator"
    space: SearchSpace | None = None

    def classifier(self) -> Classifier:
        """Return the classifier that the search fits.

        Raises:
            UsageError: the name, the estimator or the space is not as described above.
        """
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageError(
                f"a classifier of your own is called {self.name!r}, expected letters, digits, - "
                "and _, with a letter or digit first"
            )
        self._check_estimator()
        settings = self._settings()
        self._check_settings(settings)
        return Classifier(
            name=self.name,
            title=self.name,
            good_for=f"your own {type(self.estimator).__name__}",
            build=self._build,
            space=tuple(
                {f"model__{name}": value for name, value in setting.items()} for setting in settings
            ),
            default={},
            class_weight=self._class_weight(settings),
            growth=1.5,  # nothing is known of it: between linear and quadratic
            digest=self._digest(settings),
        )

    def _build(self, task: Task) -> "Pipeline":
        from sklearn.base import clone
        from sklearn.pipeline import Pipeline

        model = clone(self.estimator)
        unseeded = [
            name
            for name, value in model.get_params().items()
            if name.rpartition("__")[2] == _SEED and value is None
        ]
        return Pipeline([("model", model.set_params(**dict.fromkeys(unseeded, task.seed)))])

    def _class_weight(self, settings: Sequence[Setting]) -> str:
        """Return the parameter of our pipeline that takes class weights; empty for none.

        One that the analyst has set, or searches, is left alone.
        """
        given = {
            name: value
            for name, value in self.estimator.get_params().items()
            if name.rpartition("__")[2] == "class_weight"
        }
        if len(given) != 1 or any(given.values()) or any(given.keys() & s.keys() for s in settings):
            return ""
        (name,) = given
        return f"model__{name}"

    def _check_estimator(self) -> None:
        from sklearn.base import BaseEstimator, is_classifier

        estimator = self.estimator
        if not isinstance(estimator, BaseEstimator) or not is_classifier(estimator):
            raise UsageError(
                f"{self.name} is {estimator!r:.80}, expected a classifier after scikit-learn's "
                "conventions, as an instance"
            )

    def _settings(self) -> tuple[Setting, ...]:
        """Return the settings of the space by the estimator's own parameters."""
        space = self.space
        if isinstance(space, Mapping):
            try:
                values = [[_plain(value) for value in _values(space[name])] for name in space]
            except TypeError:
                raise self._unexpected_space() from None
            settings = [
                dict(zip(space, chosen, strict=True)) for chosen in itertools.product(*values)
            ]
            if not settings:
                raise UsageError(f"the search space of {self.name} has a parameter without values")
            return tuple(settings)
        listed = isinstance(space, Sequence | None)
        if not listed or not all(isinstance(setting, Mapping) for setting in space or ()):
            raise self._unexpected_space()
        return tuple(
            {name: _plain(value) for name, value in setting.items()} for setting in space or ({},)
        )

    def _unexpected_space(self) -> UsageError:
        return UsageError(
            f"the search space of {self.name} is {self.space!r:.80}, expected a dictionary of "
            'parameters and lists of values, such as {"C": [1, 10]}, or a list of settings'
        )

    def _check_settings(self, settings: Sequence[Setting]) -> None:
        from sklearn.base import clone

        for setting in settings:
            try:
                model = clone(self.estimator).set_params(**setting)
            except Exception as error:  # such as an unknown parameter
                detail = reason_of(error, 300)
                raise UsageError(f"{self.name} does not take {setting}: {detail}") from None
            for name, value in model.get_params().items():
                # Scores of pairs of classes are not scores of classes, even where as many.
                if name.endswith("decision_function_shape") and value == "ovo":
                    raise UsageError(f"{self.name} has {name}='ovo', expected 'ovr'")

    def _digest(self, settings: Sequence[Setting]) -> str:
        """Return a digest of class, parameters, space, and the modules in which classes are.

        Raises:
            UsageError: the worker could not load the estimator again.
        """
        import joblib
        from sklearn.base import clone

        inputs = [clone(self.estimator), settings]
        try:
            content = pickle.dumps(inputs)
        except Exception as error:
            raise self._not_importable(str(error)) from None
        if b"__main__" in content:
            raise self._not_importable("it uses what the notebook or script itself defines")
        return joblib.hash([inputs, sorted(_sources(inputs[0]))])

    def _not_importable(self, why: str) -> UsageError:
        return UsageError(
            f"{self.name} cannot be loaded in another process: {' '.join(why.split())[:200]}; "
            "define its class in a module of its own (a .py file) and import it from there"
        )


def _values(values: Any) -> list[Any]:
    if isinstance(values, str | bytes):
        raise TypeError
    return list(values)


def _plain(value: Any) -> Any:
    """Return NumPy's numbers and arrays as Python's, which compare and are written as JSON."""
    return value.tolist() if type(value).__module__ == "numpy" else value


def _sources(estimator: Any) -> Iterator[str]:
    """Yield the source of the modules that define an estimator and those inside of it."""
    import inspect

    for part in (estimator, *estimator.get_params().values()):
        if hasattr(part, "get_params") and not isinstance(part, type):
            try:
                yield inspect.getsource(inspect.getmodule(type(part)))  # type: ignore[arg-type]
            except (OSError, TypeError):  # a compiled module has none
                yield type(part).__module__
