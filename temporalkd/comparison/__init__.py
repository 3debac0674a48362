"""Several methods, several seeds, one table: planned, trained, scored, and set against each other."""

from temporalkd.comparison.look import look
from temporalkd.comparison.plan import INPUTS, Entry, entries, refuse_foreign, unequal
from temporalkd.comparison.results import Subject, failures, results
from temporalkd.comparison.scores import Scores
from temporalkd.comparison.subjects import subjects
from temporalkd.comparison.tables import markdown, show
from temporalkd.comparison.train import Train, in_process_of_its_own, train_all

__all__ = [
    "INPUTS",
    "Entry",
    "Scores",
    "Subject",
    "Train",
    "entries",
    "failures",
    "in_process_of_its_own",
    "look",
    "markdown",
    "refuse_foreign",
    "results",
    "show",
    "subjects",
    "train_all",
    "unequal",
]
