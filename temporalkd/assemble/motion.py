"""Flow networks and their cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.config import Config
from temporalkd.data.source import EstimateMotion


def flows(kinds: Iterable[str], device: torch.device, weights: str | None = None) -> dict[str, FlowEstimator | None]:
    """Estimators to evaluate with, by name; None for "exact", the data's own motion."""
    return {
        kind: None if kind == "exact" else optical_flow.build(kind, weights).to(device) for kind in dict.fromkeys(kinds)
    }


def default_cache(folder: str | None = None, gigabytes: float = 20.0) -> FlowCache:
    """Computed flow on disk: the folder given, TEMPORALKD_CACHE, or ~/.cache/temporalkd/flow."""
    place = folder or os.environ.get("TEMPORALKD_CACHE") or "~/.cache/temporalkd/flow"
    return FlowCache(Path(place).expanduser(), int(gigabytes * 2**30))


def live_estimator(config: Config) -> FlowEstimator | None:
    """The configured flow network, where training asks it at every step."""
    section = config.flow
    return optical_flow.build(section.kind, section.weights) if section and not section.cached else None


def cached_estimate(config: Config) -> EstimateMotion | None:
    """The configured flow network with its cache, where the flow is to be cached."""
    if config.flow is None or not config.flow.cached:
        return None
    network = optical_flow.build(config.flow.kind, config.flow.weights)
    cache = default_cache(config.flow.cache, config.flow.cache_gigabytes)
    return lambda a, b: cache.both(network, a, b)
