"""Arguments as people give them, brought into one form: shared by every config and function.

Each function here takes a value and the name of the option that it was given for, and returns the
value in its one form, or raises a UsageError that says what came and what was expected. A config
brings its own fields into form with them as soon as it is made:

    @dataclass(frozen=True)
    class MapConfig:
        features: tuple[Path, ...]
        method: str = "tsne"
        limit: int | None = None

        def __post_init__(self) -> None:
            normalize(
                self,
                features=partial(as_locations, at_least=1),
                method=partial(check_choice, choices=METHODS),
                limit=optional(check_count),
            )

Nothing here looks at the disk: whether a path exists is found out where it is opened.
"""

import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from features.errors import UsageError, unknown_name
from features.remote.location import as_remote, is_remote

# What the public functions accept; the configs hold tuples of Path, tuples of str, pairs of int.
OnePath = str | os.PathLike[str]
Paths = OnePath | Sequence[OnePath]
Names = str | Sequence[str]
ImageSize = int | tuple[int, int]
SplitFolders = str | Mapping[str, str] | Sequence[tuple[str, str]]

SPLITS = ("train", "validation", "test")

Reader = Callable[[Any, str], Any]  # takes a value and its option's name


def normalize(config: Any, **readers: Reader) -> None:
    """Bring the named fields of a frozen dataclass into form; meant for its `__post_init__`.

    Args:
        config: the dataclass instance, whose fields are replaced by what the readers return.
        **readers: for each field the function that takes its value and its name.

    Raises:
        UsageError: a value is not what its reader expects.
    """
    for name, reader in readers.items():
        object.__setattr__(config, name, reader(getattr(config, name), name))


def optional(reader: Reader) -> Reader:
    """Return a reader that leaves None as it is and passes everything else to `reader`."""
    return lambda value, option: None if value is None else reader(value, option)


def as_path(value: Any, option: str) -> Path:
    """Return a path given as str or Path; "~" stands for the user's folder. A URL is refused."""
    path = as_location(value, option)
    if is_remote(path):
        raise UsageError(f"{option}={path}: expected a path on this machine")
    return path


def as_location(value: Any, option: str) -> Path:
    """Return a path given as str or Path, or a URL as a `remote.location.RemotePath`."""
    if is_remote(value):
        return value
    if not isinstance(value, str | os.PathLike):
        raise refused(value, option, "a path, as str or Path")
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise refused(value, option, "a path, as str or Path")
    if (address := as_remote(text)) is not None:
        return address
    # "~backup" may well be a file: only a "~" that stands alone is the user's folder.
    return Path(text).expanduser() if Path(text).parts[:1] == ("~",) else Path(text)


def as_locations(value: Any, option: str, at_least: int = 0) -> tuple[Path, ...]:
    """Return one path or URL, or several, as a tuple; a single one is never a sequence.

    Args:
        value: a str, a Path, or an iterable of them.
        option: the name of the option.
        at_least: the smallest number of paths that is accepted.
    """
    single = isinstance(value, str | os.PathLike) or is_remote(value)
    paths = [value] if single else _listed(value, option, "a path or a sequence of paths")
    if len(paths) < at_least:
        raise refused(value, option, f"at least {_counted(at_least, 'path')}")
    return tuple(as_location(path, option) for path in paths)


def as_names(
    value: Any, option: str, choices: Collection[str] | None = None, at_least: int = 0
) -> tuple[str, ...]:
    """Return names as a tuple of str.

    Args:
        value: a str in which commas separate the names, or an iterable of str.
        option: the name of the option.
        choices: the names that are known; None accepts any.
        at_least: the smallest number of names that is accepted.
    """
    expected = "names, as a string with commas or as a sequence of strings"
    names = value.split(",") if isinstance(value, str) else _listed(value, option, expected)
    if not all(isinstance(name, str) for name in names):
        raise refused(value, option, expected)
    stripped = tuple(name.strip() for name in names if name.strip())
    if len(stripped) < at_least:
        raise refused(value, option, f"at least {_counted(at_least, 'name')}")
    if choices is not None:
        for name in stripped:
            check_choice(name, option, choices)
    return stripped


def as_splits(value: Any, option: str) -> tuple[tuple[str, str], ...]:
    """Return which folder holds which split, as pairs of a split's name and a folder's.

    Args:
        value: a str such as "train=training_set,test=test_set", a mapping of names of splits to
            names of folders, or pairs of them.
        option: the name of the option.
    """
    expected = f"SPLIT=FOLDER with commas between, SPLIT one of {', '.join(SPLITS)}"
    if isinstance(value, str):
        pairs = [tuple(part.partition("=")[::2]) for part in value.split(",")]
    else:
        items = value.items() if isinstance(value, Mapping) else value
        pairs = [tuple(pair) for pair in _listed(items, option, expected)]
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(name, str) and name.strip() for name in pair):
            raise refused(value, option, expected)
        if pair[0].strip() not in SPLITS:
            raise refused(value, option, expected)
    return tuple((split.strip(), folder.strip()) for split, folder in pairs)


def as_image_size(value: Any, option: str = "image_size") -> tuple[int, int] | None:
    """Return height and width in pixels; an int is both of them, None stays None."""
    if value is None:
        return None
    expected = "pixels a side, such as 224, or (height, width), such as (224, 320)"
    sides = _listed(value, option, expected) if isinstance(value, Iterable) else [value, value]
    if isinstance(value, str) or len(sides) != 2:
        raise refused(value, option, expected)
    try:
        height, width = (_whole(side) for side in sides)
    except TypeError:
        raise refused(value, option, expected) from None
    if min(height, width) < 1:
        raise refused(value, option, expected)
    return height, width


def check_choice(value: Any, option: str, choices: Collection[str]) -> str:
    """Return a name that is among the choices; the error suggests the nearest ones."""
    if not isinstance(value, str):
        raise refused(value, option, f"one of {', '.join(choices)}")
    if value not in choices:
        raise unknown_name(option.replace("_", " "), value, list(choices))
    return value


def check_count(value: Any, option: str, at_least: int = 1) -> int:
    """Return a whole number that is at least `at_least`, as int."""
    expected = f"a whole number of at least {at_least}"
    try:
        number = _whole(value)
    except TypeError:
        raise refused(value, option, expected) from None
    if number < at_least:
        raise refused(value, option, expected)
    return number


def check_positive(value: Any, option: str) -> float:
    """Return a finite number above 0, as float."""
    number = _number(value, option, expected := "a number above 0")
    if not 0 < number < float("inf"):
        raise refused(value, option, expected)
    return number


def check_share(value: Any, option: str) -> float:
    """Return a number from 0 to 1, as float."""
    number = _number(value, option, expected := "a share from 0 to 1, such as 0.05")
    if not 0 <= number <= 1:
        raise refused(value, option, expected)
    return number


def check_text(value: Any, option: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise refused(value, option, "a text")
    return value


def check_flag(value: Any, option: str) -> bool:
    """Return True or False; nothing else is taken for either."""
    if not isinstance(value, bool):
        raise refused(value, option, "True or False")
    return value


def refused(value: Any, option: str, expected: str) -> UsageError:
    """Return the error for a value that an option does not take."""
    return UsageError(f"{option}={value!r:.100}: expected {expected}")


def _listed(value: Any, option: str, expected: str) -> list[Any]:
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise refused(value, option, expected)
    return list(value)


def _whole(value: Any) -> int:
    """Return an int or a NumPy integer as int; TypeError for all else, also for True."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _number(value: Any, option: str, expected: str) -> float:
    if isinstance(value, bool | str | bytes):
        raise refused(value, option, expected)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise refused(value, option, expected) from None


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
