"""A page to open and to pass on: systems compared in numbers, curves and synchronised video."""

from temporalkd.visualization.report.contents import Column, Moment, Report, System, Value, Video
from temporalkd.visualization.report.mosaic import Layout, Tile, mosaic
from temporalkd.visualization.report.page import render_page, require_jinja

__all__ = [
    "Column",
    "Layout",
    "Moment",
    "Report",
    "System",
    "Tile",
    "Value",
    "Video",
    "mosaic",
    "render_page",
    "require_jinja",
]
