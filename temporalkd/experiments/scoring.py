"""Scoring with what a config names: its validation footage, protocols and flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from flow.atomic import write_whole
from temporalkd.config import Config, ConfigError, build
from temporalkd.config.schema import Evaluation
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.data.footage import Footage
from temporalkd.data.images import ImageFiles
from temporalkd.evaluation import Features, Predictor, Row, as_json, evaluate


class Scorer:
    """Scores systems on the config's validation footage, with its flow; or on footage, as a config does by default.

    Args:
        flows, protocols: instead of the config's.
        classes: of the systems.
    Raises:
        ConfigError: there is no footage, it has other classes, or no exact motion where that is to be used.
    """

    def __init__(
        self,
        config: Config | Footage,
        device: torch.device,
        flows: Sequence[str] = (),
        protocols: Sequence[str] = (),
        classes: int | None = None,
    ):
        evaluation = Evaluation() if isinstance(config, Footage) else config.evaluation
        self.footage = config if isinstance(config, Footage) else _validation(config)
        self.classes = len(self.footage.class_names)
        self.require(classes)
        self.protocols = protocols or evaluation.protocols
        kinds = flows or [evaluation.flow]
        for source in self.footage.sources if "exact" in kinds else ():
            if len(source) > 1 and source.motion(0, 1) is None:
                raise ConfigError(f"evaluation.flow: exact, but {source.name} knows no exact motion: raft_small or dis")
        self.flows = build.flows(kinds, device)
        self.cache = build.default_cache() if any(self.flows.values()) else None

    def require(self, classes: int | None, name: str = "the network") -> None:
        """Refuse a system of another number of classes than the footage has, or than the systems before it.

        Raises:
            ConfigError: it is another.
        """
        if self.classes and classes and self.classes != classes:
            raise ConfigError(f"{name} has {classes} classes, expected {self.classes}")
        self.classes = self.classes or classes or 0

    def check(self) -> None:
        """Read every label and the size of every frame, so that a fault is found before the training and not after.

        Raises:
            ValueError: a label that cannot be used, or frames of two sizes in one scene; names the file.
        """
        for source in self.footage.sources:
            if isinstance(source, ImageFiles):
                source.check()

    def rows(
        self,
        systems: dict[str, Predictor],
        references: bool = True,
        ema: float | None = None,
        progress: Any = None,
        together: bool = False,
        disturb: Mapping[str, Sequence[DisturbanceKind]] | None = None,
        features: Features | None = None,
        skip: int = 1,
    ) -> list[Row]:
        """One row a system, flow and protocol; `together` with the other processes of a run, see `evaluate`."""
        return evaluate(
            self.footage.sources,
            systems,
            self.classes,
            self.flows,
            self.protocols,
            self.cache,
            references=references,
            ema=ema,
            progress=progress,
            together=together,
            disturb=disturb,
            features=features,
            skip=skip,
        )


def _validation(config: Config) -> Footage:
    data = config.data
    if data.val is None:
        raise ConfigError("data.val: missing: there is nothing to evaluate on")
    return build.footage(data.val, data.root, config.seed, decoder=data.decoder)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Results as json, whole or not at all."""
    write_whole(path, as_json(rows, indent=1).encode())
