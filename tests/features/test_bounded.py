"""Work on files by a process that may be lost: its answers, its errors, its limits."""

import os
import time

import pytest

from features.errors import DataError, UsageError
from features.processes import bounded

HERE = "tests.features.test_bounded"
MIB = 2**20


def ask(name, seconds=5, **request):
    return bounded.ask(f"{HERE}:{name}", request, memory=64 * MIB, seconds=seconds)


def double(number):
    print("a library prints")
    return {"doubled": 2 * number}


def refuse(text):
    raise UsageError(text)


def crash():
    os.abort()


def loop():
    while True:
        time.perf_counter()


def fill():
    return len(bytes(2**40))


def test_the_answer_of_the_function_comes_back():
    assert ask("double", number=21) == {"doubled": 42}


def test_its_own_errors_come_back():
    with pytest.raises(UsageError, match="^say it with --image-size$"):
        ask("refuse", text="say it with --image-size")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("crash", "what reads it crashes .SIGABRT."),
        ("loop", "it takes more than 1 s"),
        ("fill", "it needs more than 64 MiB of memory"),
    ],
)
def test_what_is_lost_is_one_line(name, match):
    with pytest.raises(DataError, match=match) as raised:
        ask(name, seconds=1)
    assert "\n" not in str(raised.value)
