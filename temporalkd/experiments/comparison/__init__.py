"""Several methods, several seeds, one table: planned, trained, scored, and set against each other."""

from temporalkd.experiments.comparison.curves import CURVES
from temporalkd.experiments.comparison.curves import draw as draw_curves
from temporalkd.experiments.comparison.pace import budgeted
from temporalkd.experiments.comparison.plan import INPUTS, Entry, entries, refuse_foreign, unequal
from temporalkd.experiments.comparison.preflight import preflight
from temporalkd.experiments.comparison.results import Subject, failures, results
from temporalkd.experiments.comparison.scores import Scores
from temporalkd.experiments.comparison.subjects import subjects
from temporalkd.experiments.comparison.tables import markdown, show
from temporalkd.experiments.comparison.train import Train, in_process_of_its_own, train_all

__all__ = [
    "CURVES",
    "INPUTS",
    "Entry",
    "Scores",
    "Subject",
    "Train",
    "budgeted",
    "draw_curves",
    "entries",
    "failures",
    "in_process_of_its_own",
    "markdown",
    "preflight",
    "refuse_foreign",
    "results",
    "show",
    "subjects",
    "train_all",
    "unequal",
]
