"""Arguments in every form that people give them, and those that are refused with a good line."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from features.arguments import (
    as_image_size,
    as_locations,
    as_names,
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_share,
    check_text,
    normalize,
    optional,
)
from features.errors import UsageError


@pytest.mark.parametrize("value", ["f.h5", Path("f.h5")])
def test_one_path_is_one_path(value):
    assert as_path(value, "out") == Path("f.h5")
    assert as_locations(value, "features") == (Path("f.h5"),)


def test_several_paths():
    assert as_locations(["a.h5", Path("b.h5")], "features") == (Path("a.h5"), Path("b.h5"))
    assert as_locations((path for path in ("a", "b")), "features") == (Path("a"), Path("b"))
    assert as_locations((), "features") == ()


def test_the_users_folder_is_found():
    assert as_path("~/photos", "source") == Path.home() / "photos"


@pytest.mark.parametrize(
    "value", ["ridge, knn,", ["ridge", "knn"], ("ridge ", "knn"), np.array(["ridge", "knn"])]
)
def test_names(value):
    assert as_names(value, "classifiers") == ("ridge", "knn")
    assert {type(name) for name in as_names(value, "classifiers")} == {str}


def test_no_names_are_an_empty_tuple():
    assert as_names("", "layers") == ()


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (96, (96, 96)),
        ((96, 128), (96, 128)),
        ([96, 128], (96, 128)),
        (np.int64(96), (96, 96)),
        (None, None),
    ],
)
def test_image_sizes(value, size):
    assert as_image_size(value) == size
    assert size is None or {type(side) for side in as_image_size(value)} == {int}


def test_numbers_come_out_as_pythons_own():
    assert type(check_count(np.int32(3), "limit")) is int
    assert check_count(0, "seed", at_least=0) == 0
    assert type(check_share(np.float32(0.5), "max_rejected")) is float
    assert check_share(1, "max_rejected") == 1.0
    assert check_positive(0.1, "rate") == 0.1


@pytest.mark.parametrize(
    ("reader", "value", "message"),
    [
        (as_path, 7, "opt=7: expected a path"),
        (as_path, "", "opt='': expected a path"),
        (as_path, None, "opt=None: expected a path"),
        (as_path, "a\0b", "expected a path"),
        (as_locations, 7, "opt=7: expected a path or a sequence of paths"),
        (as_locations, ["a", 7], "opt=7: expected a path"),
        (as_locations, b"a", "opt=b'a': expected a path or a sequence of paths"),
        (partial(as_locations, at_least=1), [], r"opt=\[\]: expected at least 1 path$"),
        (partial(as_names, at_least=2), "one", "opt='one': expected at least 2 names"),
        (as_names, 7, "opt=7: expected names, as a string with commas or as a sequence"),
        (as_names, ["a", 7], "expected names"),
        (partial(as_names, choices=("ridge", "knn")), "ridge,kn", "no opt is called 'kn'; did you mean knn"),
        (as_image_size, "96", "opt='96': expected pixels a side, such as 224, or"),
        (as_image_size, 0, "opt=0: expected pixels a side"),
        (as_image_size, 96.0, r"opt=96.0: expected pixels a side"),
        (as_image_size, True, "opt=True: expected pixels a side"),
        (as_image_size, (96,), r"opt=\(96,\): expected pixels a side"),
        (as_image_size, (96, 96, 3), "expected pixels a side"),
        (as_image_size, (96, -1), "expected pixels a side"),
        (partial(check_choice, choices=("stretch", "crop")), "strech", "no opt is called 'strech'; did you mean stretch"),
        (partial(check_choice, choices=("stretch", "crop")), 3, "opt=3: expected one of stretch, crop"),
        (check_count, 0, "opt=0: expected a whole number of at least 1"),
        (check_count, 2.0, "opt=2.0: expected a whole number"),
        (check_count, "2", "opt='2': expected a whole number"),
        (check_count, True, "opt=True: expected a whole number"),
        (check_positive, 0, "opt=0: expected a number above 0"),
        (check_positive, float("inf"), "expected a number above 0"),
        (check_positive, float("nan"), "expected a number above 0"),
        (check_share, 1.5, "opt=1.5: expected a share from 0 to 1"),
        (check_share, "0.5", "opt='0.5': expected a share"),
        (check_share, float("nan"), "expected a share"),
        (check_share, None, "opt=None: expected a share"),
        (check_text, " ", "opt=' ': expected a text"),
        (check_flag, 1, "opt=1: expected True or False"),
    ],
)  # fmt: skip
def test_what_is_refused(reader, value, message):
    with pytest.raises(UsageError, match=message):
        reader(value, "opt")


def test_long_values_are_cut():
    with pytest.raises(UsageError) as caught:
        check_share("x" * 5000, "max_rejected")
    assert len(str(caught.value)) < 200


def test_a_config_brings_itself_into_form():
    @dataclass(frozen=True)
    class Config:
        source: Path
        layers: tuple[str, ...] | None = None
        batch_size: int = 32

        def __post_init__(self):
            normalize(self, source=as_path, layers=optional(as_names), batch_size=check_count)

    config = Config("photos", "a,b", np.int64(8))
    assert config == Config(Path("photos"), ("a", "b"), 8)
    assert Config("photos").layers is None
    with pytest.raises(UsageError, match="batch_size=0"):
        Config("photos", batch_size=0)
