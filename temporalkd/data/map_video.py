"""Class maps in a video file, as some tools write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from temporalkd.data.clip import IGNORE
from temporalkd.data.label_maps import class_table, resize_map
from temporalkd.data.palettes import Palette
from temporalkd.data.video import VideoFile

LOSSLESS = ("ffv1", "png", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "qtrle")


class MapVideo:
    """Class maps of consecutive frames: grey frames of class numbers, or colours of a palette; (H, W) uint8 each.

    Args:
        path: a video of a lossless codec; others change the class numbers.
        classes, void, mapping, palette: see `read_map`.
        resize: `fitted` brings maps to the size of their frames.
    Raises:
        ValueError: not a video, of a codec that is not lossless, or a value that is no class; names the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        classes: int | None = None,
        void: int | Iterable[int] | None = IGNORE,
        mapping: Mapping[int, int] | None = None,
        palette: Palette | None = None,
        resize: bool = False,
    ) -> None:
        self.path, self.classes, self.palette, self.resize = path, classes, palette, resize
        self.video = VideoFile(path)
        with av.open(str(path)) as container:
            codec = container.streams.video[0].codec_context.name
        if codec not in LOSSLESS:
            raise ValueError(f"{path}: {codec} changes class numbers: write class maps with a lossless codec (FFV1)")
        self._table = class_table(classes, void, mapping, palette)

    def __len__(self) -> int:
        return len(self.video)

    def __getitem__(self, index: int) -> Tensor:
        return self._classes(self.video.frame(index), index)

    def __iter__(self) -> Iterator[Tensor]:
        return (self._classes(frame, index) for index, frame in enumerate(self.video.frames()))

    def fitted(self, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """The map brought to its frame's (H, W) by nearest neighbour, if it is to `resize`."""
        return resize_map(labels, size) if self.resize and tuple(labels.shape) != tuple(size) else labels

    def _classes(self, frame: Tensor, index: int) -> Tensor:
        colours = frame.permute(1, 2, 0).numpy()
        values = colours[..., 0] if self.palette is None else self.palette.indices(np.ascontiguousarray(colours))
        grey = self.palette is not None or bool((colours == colours[..., :1]).all())
        mapped = np.where(values < 0, -1, self._table[values])
        if not grey or mapped.min() < 0:
            raise ValueError(f"{self.path}: frame {index} holds a value or colour that is no class")
        return torch.from_numpy(mapped.astype(np.uint8))
