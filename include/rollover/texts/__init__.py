"""Renders the texts that people read. Each ``.j2`` file in this folder is one text.

Customer success owns the words. `CONTRIBUTING.md`, "Change a text", says how to change one.
"""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from rollover.calendar import utc_minute
from rollover.markdown import escaped
from rollover.texts import filters

FOLDER = Path(__file__).parent
GAPS = re.compile(r"\n{4,}")

_environment = Environment(
    loader=FileSystemLoader(FOLDER),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=select_autoescape(["html.j2"], default=False),  # the others are plain text and Markdown
    auto_reload=False,
)
_environment.filters |= {
    "commas": filters.commas,
    "count": filters.count,
    "size": filters.size,
    "percent": filters.percent,
    "moment": filters.moment,
    "utc_minute": utc_minute,
    "day": filters.day,
    "clean": filters.clean,
    "wrap": filters.wrap,
    "one_line": filters.one_line,
    "md": escaped,
}
_environment.globals["columns"] = filters.columns


def render(template: str, **values: object) -> str:
    """Return the text of a template in this folder, filled with `values`, without blank lines at its ends.

    At most two blank lines stay in a row, so that a template may leave out a part. Raises `jinja2.UndefinedError` for a
    name that has no value.
    """
    return GAPS.sub("\n\n\n", _environment.get_template(template).render(**values)).strip("\n")
