"""Frames -> systems -> metrics, streaming."""

from temporalkd.evaluation.evaluate import evaluate, frames_with_motion
from temporalkd.evaluation.inference import ClassMapper, each_class_map, frames_at_once
from temporalkd.evaluation.metric_suite import measures
from temporalkd.evaluation.predictors import (
    Features,
    FramePrediction,
    Predictor,
    averaged,
    ceiling,
    class_maps,
    features,
    floor,
    folder_of_maps,
    memoize,
    network,
)
from temporalkd.evaluation.results import SHARES, Row, as_csv, as_json

__all__ = [
    "SHARES",
    "ClassMapper",
    "Features",
    "FramePrediction",
    "Predictor",
    "Row",
    "as_csv",
    "as_json",
    "averaged",
    "ceiling",
    "class_maps",
    "each_class_map",
    "evaluate",
    "features",
    "floor",
    "folder_of_maps",
    "frames_at_once",
    "frames_with_motion",
    "measures",
    "memoize",
    "network",
]
