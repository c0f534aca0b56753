"""Texts as arrays behave as tuples of strings do, and are found by a key of each."""

import numpy as np
import pytest

from features.storage.texts import Texts, TextsBuilder

WORDS = ("b/ä.jpg", "", "a", "猫/d.jpg", "a\x01", "longer than the others.png")


def test_they_behave_as_a_tuple_does():
    texts = Texts.of(WORDS)
    assert texts == WORDS and texts == WORDS and texts == list(WORDS)
    assert texts != WORDS[:-1] and texts != ("x", *WORDS[1:]) and texts != 3
    assert (len(texts), texts[0], texts[-1], texts.index("a")) == (6, "b/ä.jpg", WORDS[-1], 2)
    assert texts[1:4] == WORDS[1:4] and texts[::-1] == WORDS[::-1] and texts[4:1] == ()
    assert texts[np.array([3, 0, 3])] == ("猫/d.jpg", "b/ä.jpg", "猫/d.jpg")
    assert texts[np.array([True, False] * 3)] == WORDS[::2]
    assert texts[2:][np.array([1])] == ("猫/d.jpg",)
    assert repr(texts).startswith("<6 texts: 'b/ä.jpg', '', 'a', ...>")
    with pytest.raises(IndexError):
        texts[6]


def test_bytes_of_a_fixed_length_become_texts():
    values = np.array([word.encode() for word in WORDS])
    assert Texts.of_bytes([values[:2], values[2:]]) == WORDS
    with pytest.raises(UnicodeDecodeError):
        Texts.of_bytes([np.array([b"\xc3", b"\xa4"])])  # together they would be a letter
    assert b"".join(Texts.of(WORDS).terminated()) == b"".join(w.encode() + b"\0" for w in WORDS)


@pytest.mark.parametrize("collide", [False, True])
def test_texts_are_found_whatever_their_keys(collide, monkeypatch):
    many = Texts.of(f"{number % 7}/{number}.jpg" for number in range(70_000))
    if collide:  # every text has one of three hashes

        def few(self):
            return (self.lengths % 3).astype(np.uint64)

        monkeypatch.setattr(Texts, "hashes", few)
        many = many[:700]
    order = np.random.default_rng(0).permutation(len(many))
    asked = [*many[order], "not there", "0/0.jp"]
    assert many.places_of(asked).tolist() == [*order, -1, -1]
    assert many.places_of(many[:5]).tolist() == [0, 1, 2, 3, 4]
    assert Texts.of(()).places_of(["a"]).tolist() == [-1]
    assert many.repeated() == 0
    assert Texts.of([*many, "0/0.jpg", "0/0.jpg", "1/1.jpg"]).repeated() == 3


def test_places_are_kept_across_blocks():
    words = [f"{number:x}" * (number % 5) for number in range(150_000)]
    texts = Texts.of(words)
    rows = np.random.default_rng(1).integers(0, len(words), 140_000)
    assert texts[rows].tolist() == [words[row] for row in rows.tolist()]
    assert texts[rows].hashes().tolist() == texts.hashes()[rows].tolist()
    assert Texts.joined([texts[:5], texts[9:9], texts[7:12]]) == [*words[:5], *words[7:12]]
    assert Texts.joined([]) == ()


def test_numpy_and_pandas_take_them():
    import pandas as pd

    texts = Texts.of(WORDS)
    assert np.array(texts).tolist() == list(WORDS)
    frame = pd.DataFrame({"row": range(6)}, index=range(3, 9)).assign(id=texts)
    assert frame["id"].tolist() == list(WORDS)
    assert pd.DataFrame({"row": range(6)}, texts).index.tolist() == list(WORDS)


@pytest.mark.parametrize("letters", ["ab", "a", "aé猫😀/", "abcdefgh01"])
def test_their_order_is_that_of_python_strings(letters):
    random = np.random.default_rng(len(letters))
    for count in (0, 1, 2, 40, 9000):
        lengths = random.choice([0, 1, 7, 8, 9, 16, 17, 40], count)
        words = ["".join(random.choice([*letters], length)) for length in lengths]
        texts = Texts.of(["a", *words])[1:]  # whose first text does not begin at zero
        order = texts.order().tolist()
        assert order == sorted(range(count), key=lambda row: words[row])
        assert texts[texts.order()].order().tolist() == [*range(count)]


def test_texts_are_gathered_one_by_one():
    gathered = TextsBuilder()
    for word in WORDS:
        gathered.append(word)
    gathered.fill(8)
    gathered.append("z")
    assert len(gathered) == 9
    assert gathered.texts() == (*WORDS, "", "", "z")
    assert (len(gathered), gathered.texts()) == (0, ())
