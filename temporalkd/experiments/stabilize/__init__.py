"""A network made steady from its own unlabelled video: the same per-frame network comes back, steadier."""

from temporalkd.experiments.stabilize.front import Stabilized, stabilize
from temporalkd.experiments.stabilize.options import Options

__all__ = ["Options", "Stabilized", "stabilize"]
