"""A page to open and to pass on: systems compared in numbers, curves and synchronised video."""

from temporalkd.report.contents import Column, Moment, Report, System, Value, Video
from temporalkd.report.mosaic import Layout, Mosaic, Tile, mosaic
from temporalkd.report.page import render_page, require_jinja

__all__ = [
    "Column",
    "Layout",
    "Moment",
    "Mosaic",
    "Report",
    "System",
    "Tile",
    "Value",
    "Video",
    "mosaic",
    "render_page",
    "require_jinja",
]
