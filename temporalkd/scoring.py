"""Scoring with what a config names: its validation footage, protocols and flow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import flow as optical_flow
from flow import FlowEstimator
from flow.files import write_whole
from temporalkd import assemble
from temporalkd.config import Config, ConfigError
from temporalkd.data.footage import Footage
from temporalkd.evaluation import Row, System, evaluate


class Scorer:
    """Scores systems on the config's validation footage, with its flow.

    Args:
        flow: instead of the config's.
        classes: of the systems.
    Raises:
        ConfigError: the footage has other classes, or no exact motion where that is to be used.
    """

    def __init__(self, config: Config, device: torch.device, flow: str | None = None, classes: int | None = None):
        section = config.data.val
        self.footage: Footage | None = None
        if section is not None:
            self.footage = assemble.footage(section, config.data.root, config.seed)
        names = self.footage.class_names if self.footage is not None else ()
        if names and classes is not None and len(names) != classes:
            raise ConfigError(f"data.val has {len(names)} classes, the network {classes}")
        self.classes = len(names) or classes or 0
        self.protocols: Sequence[str] = config.evaluation.protocols
        kind = flow or config.evaluation.flow
        for source in self.footage.sources if self.footage is not None and kind == "exact" else ():
            if len(source) > 1 and source.motion(0, 1) is None:
                raise ConfigError(f"evaluation.flow: exact, but {source.name} knows no exact motion: raft_small or dis")
        self.flow: FlowEstimator | None = None
        if self.footage is not None and kind != "exact":
            self.flow = optical_flow.build(kind).to(device)
        self.cache = assemble.default_cache() if self.flow is not None else None

    def rows(self, systems: dict[str, System], references: bool = True, progress: Any = None) -> list[Row]:
        """One row a system and protocol."""
        if self.footage is None:
            raise ConfigError("data.val: missing: there is nothing to evaluate on")
        return evaluate(
            self.footage.sources, systems, self.classes, self.flow, self.protocols, self.cache, references, progress
        )


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Results as json, whole or not at all."""
    write_whole(path, (json.dumps({"results": [row.as_dict() for row in rows]}, indent=2) + "\n").encode())
