"""One self-contained HTML page that compares systems on the same frames: no network, no other file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from temporalkd.visualization.report.contents import Report
from temporalkd.visualization.report.view import view

ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("base.js", "table.js", "player.js", "scatter.js", "curves.js", "cards.js")


def require_jinja() -> ModuleType:
    """jinja2, which only the report needs; to be asked for before the work that would be lost.

    Raises:
        ValueError: it is not installed; says how to.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ValueError("the report needs jinja2: pip install -e '.[report]' in the checkout") from error
    return jinja2


def render_page(report: Report) -> str:
    """The page.

    Raises:
        ValueError: jinja2 is not installed.
    """
    jinja2 = require_jinja()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        view(report),
        style=(ASSETS / "page.css").read_text("utf-8"),
        script="\n".join((ASSETS / name).read_text("utf-8") for name in _SCRIPTS),
    )
