"""From a config to the objects it names."""

from temporalkd.config.build.data import footage, sampler, training_footage
from temporalkd.config.build.motion import cache_folder, default_cache, flows
from temporalkd.config.build.networks import doubts, known_labels, mapped, model, open_network, teacher
from temporalkd.config.build.targets import of_footage, targets
from temporalkd.config.build.training import method, plan

__all__ = [
    "cache_folder",
    "default_cache",
    "doubts",
    "flows",
    "footage",
    "known_labels",
    "mapped",
    "method",
    "model",
    "of_footage",
    "open_network",
    "plan",
    "sampler",
    "targets",
    "teacher",
    "training_footage",
]
