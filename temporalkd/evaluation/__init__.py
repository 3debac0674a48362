"""Frames -> systems -> metrics, streaming."""

from temporalkd.evaluation.evaluate import evaluate, frames_with_motion
from temporalkd.evaluation.inference import ClassMapper, each_class_map, frames_at_once
from temporalkd.evaluation.metric_suite import measures
from temporalkd.evaluation.results import SHARES, Row, as_csv, as_json
from temporalkd.evaluation.systems import (
    Answer,
    System,
    averaged,
    ceiling,
    class_maps,
    floor,
    folder_of_maps,
    memoize,
    network,
)

__all__ = [
    "SHARES",
    "Answer",
    "ClassMapper",
    "Row",
    "System",
    "as_csv",
    "as_json",
    "averaged",
    "ceiling",
    "class_maps",
    "each_class_map",
    "evaluate",
    "floor",
    "folder_of_maps",
    "frames_at_once",
    "frames_with_motion",
    "measures",
    "memoize",
    "network",
]
