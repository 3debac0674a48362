"""Labels that a method makes itself for frames without: written after each round, read in the next."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from temporalkd.data.label_maps import read_map, write_map
from temporalkd.data.sampler import Anchor, ClipSampler, file_name
from temporalkd.methods import Method, SelfTraining
from temporalkd.metrics import SegmentationScore
from temporalkd.paths import read_json, write_json
from temporalkd.training.distributed import Runtime
from temporalkd.training.log import Values


class PseudoLabels:
    """What Trainer calls between rounds.

    round<k>/ holds what round k left, a PNG a frame; round<k>.json, written last, says that all are there and how good
    they are against the hidden labels, which serve for nothing else. A folder that was begun is completed.

    Args:
        folder: of all rounds.
    """

    def __init__(self, method: Method, labeller: SelfTraining, clips: ClipSampler, runtime: Runtime, folder: Path):
        self.method, self.labeller, self.clips = method, labeller, clips
        self.runtime, self.folder = runtime, folder

    def __call__(self, number: int, ended: bool) -> Values:
        """Let the clips carry the labels that round `number` left; where it has just ended, make them first.

        Returns:
            miou of the labels, in percent, where hidden labels are known, and coverage, the share of pixels that have
            one.
        Raises:
            FileNotFoundError: the round ended earlier, and its labels are gone.
        """
        place, marker = self.folder / f"round{number}", self.folder / f"round{number}.json"
        if ended and self.runtime.is_main and not marker.is_file():
            place.mkdir(parents=True, exist_ok=True)
            found = {"round": number, **self._write(place, number / self.labeller.rounds)}
            write_json(marker, found)
        self.runtime.barrier()
        if not marker.is_file():
            raise FileNotFoundError(f"{marker}: the labels of round {number} are gone: train into another folder")
        self.clips.pseudo = place
        found = read_json(marker)
        return {f"pseudo/{key}": found.get(key) for key in ("miou", "coverage")}

    def _write(self, place: Path, progress: float) -> dict[str, Any]:
        score, measured, known, pixels = SegmentationScore(self.method.student.classes, synced=False), 0, 0, 0
        for anchor in self.clips.unlabelled:
            path = place / file_name(anchor)
            if not path.is_file():
                self._label(anchor, path, progress)
            labels = read_map(path)
            known, pixels = known + int((labels != 255).sum()), pixels + labels.numel()
            truth = self.clips.sources[anchor[0]].hidden_label(anchor[1])
            if truth is not None:
                # A pixel without a label is not measured: that there are fewer of them is what coverage tells.
                score.update(labels.where(labels != 255, 0), truth.where(labels != 255, 255))
                measured += 1
        miou = 100 * float(score.compute()["miou"]) if measured else math.nan
        known_miou = None if math.isnan(miou) else miou
        return {"frames": len(self.clips.unlabelled), "miou": known_miou, "coverage": known / max(pixels, 1)}

    def _label(self, anchor: Anchor, path: Path, progress: float) -> None:
        clip = self.clips.whole(anchor).to(self.runtime.device)
        write_map(path, self.labeller.pseudo_labels(self.method, clip, progress)[0])
