"""Segmentation networks behind one contract, and their weights."""

from temporalkd.models.build import ModelSpec, build
from temporalkd.models.cost import Cost, cost, median_seconds
from temporalkd.models.deployed import Bare, Classifier
from temporalkd.models.fingerprint import fingerprint
from temporalkd.models.joint import BRANCHES, JointTeacher, Teacher, ensemble, views
from temporalkd.models.mapped import MappedClasses, class_targets
from temporalkd.models.segmenter import Normalisation, Prediction, Segmenter, evaluating, freeze
from temporalkd.models.shared_dropout import SharedDropout
from temporalkd.models.sources import is_source, open_source
from temporalkd.models.spec import read_spec
from temporalkd.models.stored import StoredTeacher, to_store
from temporalkd.models.views import MultiView
from temporalkd.models.weights import load_encoder, load_segmenter, load_weights, save_segmenter

__all__ = [
    "BRANCHES",
    "Bare",
    "Classifier",
    "Cost",
    "JointTeacher",
    "MappedClasses",
    "ModelSpec",
    "MultiView",
    "Normalisation",
    "Prediction",
    "Segmenter",
    "SharedDropout",
    "StoredTeacher",
    "Teacher",
    "build",
    "class_targets",
    "cost",
    "ensemble",
    "evaluating",
    "fingerprint",
    "freeze",
    "is_source",
    "load_encoder",
    "load_segmenter",
    "load_weights",
    "median_seconds",
    "open_source",
    "read_spec",
    "save_segmenter",
    "to_store",
    "views",
]
