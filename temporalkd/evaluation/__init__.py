"""Frames -> systems -> metrics, streaming."""

from temporalkd.evaluation.evaluate import (
    Row,
    System,
    ceiling,
    class_maps,
    evaluate,
    floor,
    folder_of_maps,
    network,
)

__all__ = ["Row", "System", "ceiling", "class_maps", "evaluate", "floor", "folder_of_maps", "network"]
