"""Training: the loop, its schedule, its checkpoints and its log."""

from temporalkd.training.batches import GivenBatches
from temporalkd.training.pseudo import PseudoLabels
from temporalkd.training.runtime import Runtime
from temporalkd.training.schedule import Plan
from temporalkd.training.trainer import Trainer

__all__ = ["GivenBatches", "Plan", "PseudoLabels", "Runtime", "Trainer"]
