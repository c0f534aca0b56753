"""HTML pages that need no other file: style, scripts, data and charts are part of the page."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.text import DIRECTIONS, for_page

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

# Signs that could end a script, or a line in one.
_ESCAPED = str.maketrans(
    {sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
    | {sign: f"\\\\u{ord(sign):04x}" for sign in DIRECTIONS}  # which a page shows as such text
)


def render(template: str, **facts: Any) -> str:
    """Return a page as HTML: every fact is escaped, and nothing has to be fetched.

    Args:
        template: the name of a file in `templates`; `base.html` is the frame of all pages.
        facts: the values that the template shows. Besides them a template has:
            `asset(name)`: the text of a file in `templates`, such as "style.css";
            `plotly()`: the charting library;
            `value | data`: the value as JSON that may stand in a script.
    """
    return _environment().get_template(template).render(facts)


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"asset": _asset, "plotly": _plotly}
    environment.filters |= {"data": data}
    return environment


def _shown(value: Any) -> Any:
    """Return what a template shows of a value: a text in which no sign turns what is around it."""
    from markupsafe import Markup

    return for_page(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def data(value: Any) -> "Markup":
    """Return JSON that may stand in an HTML script element, whatever text it holds."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPED))  # noqa: S704 # nothing in it can end the element


def _asset(name: str) -> "Markup":
    from markupsafe import Markup

    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 # our own


def _plotly() -> "Markup":
    """Return plotly.js as the Python package carries it."""
    from importlib.resources import files

    from markupsafe import Markup

    script = files("plotly") / "package_data" / "plotly.min.js"
    return Markup(script.read_text(encoding="utf-8"))  # noqa: S704 # the library's own
