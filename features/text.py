"""Names that anybody may have chosen, made safe for where they are shown."""

WIDTH = 100  # characters of a name in a table
_LINE = 5000  # of a sentence

# Marks of the writing direction.
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CONTROLS = [*map(chr, (*range(9), *range(11, 32), *range(127, 160))), *DIRECTIONS]
_OF_PAGES = {ord(sign): sign.encode("unicode_escape").decode() for sign in _CONTROLS}

# What pandas takes for a missing value when it reads CSV.
_MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")  # a spreadsheet would compute what begins so


def for_terminal(text: str, width: int = WIDTH) -> str:
    r"""Return a text in one line that a terminal shows and does not obey, cut to a width.

    Line breaks, tabs, escape sequences and marks of the writing direction become \n, \x1b, \u202e.
    """
    shown = "".join(map(_visible, text))
    return shown if len(shown) <= width else f"{shown[: width - 3]}..."


def in_line(text: object) -> str:
    """Return a sentence or a path that quotes what anybody has written as one line, as above."""
    return for_terminal(str(text), _LINE)


def reason_of(error: BaseException, width: int = 200) -> str:
    """Return what an error says, in one line of at most `width` characters; else its type."""
    return " ".join(str(error).split())[:width] or type(error).__name__


def for_page(text: str) -> str:
    r"""Return a text for a page, in which marks of the writing direction become \u202e and such.

    A name that has one would turn the sentence around it. So do control characters, but for line
    breaks and tabs.
    """
    return text.translate(_OF_PAGES)


def visible_lines(text: str) -> str:
    """Return a text of several lines in which nothing but line breaks and tabs is obeyed."""
    return "".join(sign if sign in "\n\t" else _visible(sign) for sign in text)


def for_csv(value: object) -> object:
    """Return a value for a cell of CSV that a spreadsheet does not compute and pandas keeps.

    Texts such as "=1+1" and "NaN" get a "'" in front of them, as do those that have one.
    """
    if isinstance(value, str) and value and (value.startswith(_FORMULA) or value in _MISSING):
        return f"'{value}"
    return value


def safe_name(text: str, width: int = 40) -> str:
    """Return a text as a part of a file's name: letters, digits and "_" of any language."""
    return "".join(sign if sign.isalnum() else "_" for sign in text)[:width]


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 epoch" and "1,200 images"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _visible(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()
