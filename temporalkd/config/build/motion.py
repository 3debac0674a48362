"""Flow networks and their cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.config import Config
from temporalkd.config.schema import Flow
from temporalkd.data.source import EstimateMotion
from temporalkd.plugins import named

GIGABYTES = 20.0
"""That a cache may take where nothing else is said."""


def flows(kinds: Iterable[str], device: torch.device, weights: str | None = None) -> dict[str, FlowEstimator | None]:
    """Estimators to evaluate with, by name; None for "exact", the data's own motion."""
    return {
        kind: None if kind == "exact" else _built(kind, weights, "evaluation.flow").to(device)
        for kind in dict.fromkeys(kinds)
    }


def configured(section: Flow) -> FlowEstimator:
    """The flow network of a config; only what differs from the default is asked of it, which not every kind has."""
    chosen = section.model_dump(include={"updates", "precision", "tolerance"}, exclude_defaults=True)
    return _built(section.kind, section.weights, "flow.kind", **chosen, **section.options)


def _built(kind: str, weights: str | None, where: str, **settings: Any) -> FlowEstimator:
    """An estimator; an import string must be one that may be imported."""
    if ":" in kind:
        named(kind, where)
    return optical_flow.build(kind, weights, **settings)


def default_cache(folder: str | None = None, gigabytes: float = GIGABYTES) -> FlowCache:
    """Computed flow on disk, in `cache_folder`."""
    return FlowCache(cache_folder(folder), int(gigabytes * 2**30))


def cache_folder(folder: str | None = None) -> Path:
    """The folder given, TEMPORALKD_CACHE, or ~/.cache/temporalkd/flow."""
    return Path(folder or os.environ.get("TEMPORALKD_CACHE") or "~/.cache/temporalkd/flow").expanduser()


def live_estimator(config: Config) -> FlowEstimator | None:
    """The configured flow network, where training asks it at every step."""
    return configured(config.flow) if config.flow and not config.flow.cached else None


def cached_estimate(config: Config, wanted: bool = False) -> EstimateMotion | None:
    """The configured flow network with its cache, where the flow is to be cached, or `wanted` in any case."""
    if config.flow is None or not (config.flow.cached or wanted):
        return None
    network = configured(config.flow)
    cache = default_cache(config.flow.cache, config.flow.cache_gigabytes)
    return lambda a, b: cache.both(network, a, b)
