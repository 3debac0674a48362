"""Segmentation networks behind one contract, and their weights."""

from temporalkd.models.build import ModelSpec, build
from temporalkd.models.cached import CachedTeacher
from temporalkd.models.cost import Cost, cost, median_seconds
from temporalkd.models.deployed import Bare, Classifier
from temporalkd.models.joint import JointTeacher, Teacher
from temporalkd.models.segmenter import Normalisation, Prediction, Segmenter, freeze
from temporalkd.models.shared_dropout import SharedDropout
from temporalkd.models.spec import read_spec
from temporalkd.models.weights import load_encoder, load_segmenter, load_weights, save_segmenter

__all__ = [
    "Bare",
    "CachedTeacher",
    "Classifier",
    "Cost",
    "JointTeacher",
    "ModelSpec",
    "Normalisation",
    "Prediction",
    "Segmenter",
    "SharedDropout",
    "Teacher",
    "build",
    "cost",
    "freeze",
    "load_encoder",
    "load_segmenter",
    "load_weights",
    "median_seconds",
    "read_spec",
    "save_segmenter",
]
