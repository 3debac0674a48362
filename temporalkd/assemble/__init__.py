"""From a config to the objects it names."""

from temporalkd.assemble.data import footage, sampler, training_footage
from temporalkd.assemble.motion import cache_folder, default_cache, flows
from temporalkd.assemble.networks import doubts, known_labels, model, teacher
from temporalkd.assemble.training import method, plan

__all__ = [
    "cache_folder",
    "default_cache",
    "doubts",
    "flows",
    "footage",
    "known_labels",
    "method",
    "model",
    "plan",
    "sampler",
    "teacher",
    "training_footage",
]
