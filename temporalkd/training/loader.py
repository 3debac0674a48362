"""A process's share of the clips, read ahead by workers or not, the same in either way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from temporalkd.data.augment import ColourJitter
from temporalkd.data.clip import Clip, as_clip, collate
from temporalkd.data.disturbance import Disturbance
from temporalkd.data.sampler import ClipSampler
from temporalkd.training.distributed import Runtime
from temporalkd.training.schedule import Plan
from temporalkd.training.signals import leave_to_parent


class Seen(NamedTuple):
    """(B, T, 3, H, W), a batch's frames as the students see them, and as a teacher that is run on them does."""

    students: Tensor
    teacher: Tensor


class Batches:
    """Batch number n of a training holds the clips n * batch to (n + 1) * batch - 1, whoever reads them.

    Processes take the batches in turn.
    """

    def __init__(self, clips: ClipSampler, plan: Plan, runtime: Runtime):
        self.clips, self.plan, self.runtime = clips, plan, runtime
        self.size = f"{plan.batch} clips of {clips.length} frames at once"
        self.jitter = ColourJitter(plan.jitter) if plan.jitter else None
        self.disturbance = Disturbance(plan.disturbance) if plan.disturbance else None

    def __call__(self, start: int, count: int, workers: int) -> Iterator[Clip]:
        """This process's batches number start to start + count - 1, on its device."""
        world, rank = self.runtime.world, self.runtime.rank
        return self._load(self.clips, range(start * world + rank, (start + count) * world, world), workers)

    def labelled_half(self, count: int) -> Iterator[Clip]:
        """The first batches of half of the labelled clips, the same in every process."""
        return self._load(self.clips.labelled_half(), range(count), workers=0)

    def coloured(self, clip: Clip, number: int) -> Seen:
        """The frames of this process's batch `number` in other colours, and disturbed, where the plan says so."""
        seed = (self.plan.seed * 1_000_003 + number * self.runtime.world + self.runtime.rank) % 2**31
        clean = clip.frames if self.jitter is None else self.jitter(clip.frames, seed)
        frames = clean if self.disturbance is None else self.disturbance(clean, seed)
        return Seen(frames, frames if self.plan.teacher_disturbed else clean)

    def _load(self, clips: ClipSampler, numbers: range, workers: int) -> Iterator[Clip]:
        positions = [[number * self.plan.batch + i for i in range(self.plan.batch)] for number in numbers]
        loader = DataLoader(
            clips,
            batch_sampler=positions,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=self.runtime.device.type == "cuda",
            generator=torch.Generator(),  # of its own: a run that resumes must not draw from the one dropout uses
            worker_init_fn=leave_to_parent,
        )
        return (clip.to(self.runtime.device) for clip in iter(loader))


class GivenBatches:
    """Batches of anybody's making in place of `Batches`: Clips, or pairs (frames, labels) as `as_clip` takes them.

    Where they end they are asked for anew, as a DataLoader may be. A run that is resumed gets them from the start.

    Args:
        batches: any iterable.
    """

    def __init__(self, batches: Iterable[Any], runtime: Runtime):
        self.batches, self.runtime = batches, runtime
        self.size = "the batches given"

    def __call__(self, start: int, count: int, workers: int) -> Iterator[Clip]:
        """`count` batches on this process's device; how they are read is theirs to say."""
        read = 0
        while read < count:
            before = read
            for batch in islice(self.batches, count - read):
                clip = batch if isinstance(batch, Clip) else as_clip(*batch)
                yield clip.to(self.runtime.device)
                read += 1
            if read == before:
                raise ValueError(
                    f"clips: ended after {read} of {count} batches: give what can be read again (a DataLoader, a list) "
                    "or an iterator that does not end"
                )

    def labelled_half(self, count: int) -> Iterator[Clip]:
        """The first batches."""
        return self(0, count, workers=0)

    def coloured(self, clip: Clip, number: int) -> Seen:
        """Colours are as they are given."""
        return Seen(clip.frames, clip.frames)
