"""Several methods, several seeds, one table: planned, trained, scored, and set against each other."""

from temporalkd.experiments.comparison.results import failures
from temporalkd.experiments.comparison.run import compare
from temporalkd.experiments.comparison.tables import show

__all__ = ["compare", "failures", "show"]
