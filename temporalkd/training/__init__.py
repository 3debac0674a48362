"""Training: the loop, its schedule, its checkpoints and its log."""

from temporalkd.training.distributed import Runtime
from temporalkd.training.pseudo_labels import PseudoLabels
from temporalkd.training.schedule import Plan, Schedule
from temporalkd.training.step import GivenBatches
from temporalkd.training.trainer import Trainer

__all__ = ["GivenBatches", "Plan", "PseudoLabels", "Runtime", "Schedule", "Trainer"]
