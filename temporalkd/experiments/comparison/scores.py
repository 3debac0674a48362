"""Every system scored once: its row and the counts behind it are kept, under what they were computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from flow.atomic import write_whole
from temporalkd.config import Config
from temporalkd.console import progress
from temporalkd.evaluation import SHARES, Predictor, Row, averaged, measures, memoize, network
from temporalkd.experiments.comparison.plan import REFERENCES, slug
from temporalkd.experiments.scoring import Scorer
from temporalkd.metrics import Series
from temporalkd.models import Teacher

MEASURES = ("miou", "macc", "boundary_iou", "consistency", "flip_rate")
"""Those whose differences are of interest."""
AT_ONCE = 4
"""Networks in one pass: each holds the probabilities of two frames."""


@dataclass(frozen=True)
class Wanted:
    """A network to be scored, with its moving average where `ema` is given.

    digest: of its weights.
    """

    name: str
    digest: str
    make: Callable[[], Teacher]
    ema: float | None = None


class Scores:
    """Scores on a config's data.val, with its flow and first protocol; kept in a folder.

    Raises:
        ConfigError, FileNotFoundError: data or weights of the flow are missing, or do not fit.
    """

    def __init__(self, config: Config, classes: int, device: torch.device, folder: Path):
        self.protocol, self.device, self.folder = config.evaluation.protocols[0], device, folder
        self.scorer = Scorer(config, device, protocols=[self.protocol], classes=classes)
        ((self.flow, estimator),) = self.scorer.flows.items()
        assert config.data.val is not None
        self.sources = self.scorer.footage.sources
        self._measures = measures(self.scorer.classes, self.protocol)
        self._of_all: list[Any] = [config.data.root, config.data.val.model_dump(mode="json"), config.seed]
        self._of_all += [self.protocol, self.flow, estimator.fingerprint if estimator else "", device.type]

    def networks(self, wanted: Sequence[Wanted]) -> dict[tuple[str, float | None], Row]:
        """(name, None) -> row of each network; (name, decay) -> that of its moving average."""
        found: dict[tuple[str, float | None], Row] = {}
        missing = []
        for one in wanted:
            kept = {(one.name, ema): self._kept(one.name, one.digest, ema) for ema in dict.fromkeys((None, one.ema))}
            found |= {key: row for key, row in kept.items() if row is not None}
            missing += [one] if None in kept.values() else []
        for start in range(0, len(missing), AT_ONCE):
            found |= self._score(missing[start : start + AT_ONCE])
        return found

    def references(self) -> list[Row]:
        """Ceiling, floor and constant, where every frame has a label."""
        if not is_labelled(self.sources):
            return []
        kept = [self._kept(name, "", None) for name in REFERENCES]
        known = [row for row in kept if row is not None]
        if len(known) == len(REFERENCES):
            return known
        with progress("score references") as tick:
            rows = self.scorer.rows({}, references=True, progress=tick)
        for row in rows:
            self._keep(row, row.system, "", None)
        return rows

    def _score(self, wanted: Sequence[Wanted]) -> dict[tuple[str, float | None], Row]:
        systems: dict[str, Predictor] = {}
        keys: dict[str, tuple[Wanted, float | None]] = {}
        for one in wanted:
            system = memoize(network(one.make().to(self.device).eval()))
            systems[one.name], keys[one.name] = system, (one, None)
            if one.ema is not None:
                smooth = f"{one.name} EMA {one.ema:g}"
                systems[smooth], keys[smooth] = averaged(system, one.ema), (one, one.ema)
        with progress(f"score {', '.join(one.name for one in wanted)}") as tick:
            rows = self.scorer.rows(systems, references=False, progress=tick)
        found = {}
        for row in rows:
            one, ema = keys[row.system]
            self._keep(row, one.name, one.digest, ema)
            found[one.name, ema] = row
        return found

    def _path(self, name: str, digest: str, ema: float | None) -> Path:
        key = hashlib.sha256(json.dumps([*self._of_all, digest, ema]).encode()).hexdigest()[:16]
        return self.folder / f"{slug(name)}{'' if ema is None else '-ema'}-{key}.safetensors"

    def _keep(self, row: Row, name: str, digest: str, ema: float | None) -> None:
        series = {key: row.series[key] for key in MEASURES if key in row.series}
        tensors = {f"{key}.counts": s.counts for key, s in series.items()}
        tensors |= {f"{key}.clips": s.clips.clone() for key, s in series.items()}
        write_whole(self._path(name, digest, ema), save(tensors, {"row": json.dumps(row.as_dict())}))

    def _kept(self, name: str, digest: str, ema: float | None) -> Row | None:
        """None where there is none, or none that can be read."""
        try:
            with safe_open(self._path(name, digest, ema), "pt") as file:
                values = json.loads(file.metadata()["row"])
                names = {key.partition(".")[0] for key in file.keys()}  # noqa: SIM118
                counts = {key: (file.get_tensor(f"{key}.counts"), file.get_tensor(f"{key}.clips")) for key in names}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None
        shares = {key: values.pop(key, None) for key in SHARES}
        series = {key: Series(*counts[key], self._measures[key]) for key in MEASURES if key in counts}
        scenes = tuple(values.pop("per_scene", ()))
        return Row(**values, shares=shares, series=series, scenes=scenes)


def is_labelled(sources: Sequence[Any]) -> bool:
    """Whether every frame has a label."""
    return all(len(source.labelled) == len(source) for source in sources)
