"""One training step: its batch, forward, backward, what is not finite, the optimisers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from temporalkd.data.clip import Clip, ColourJitter, as_clip, collate
from temporalkd.data.disturbance import Disturbance
from temporalkd.data.sampler import ClipSampler
from temporalkd.methods import DistillationContext, Method
from temporalkd.training.distributed import Runtime
from temporalkd.training.nonfinite import Guard, not_finite
from temporalkd.training.schedule import Plan
from temporalkd.training.signals import leave_to_parent

Optimisers = dict[str, torch.optim.Optimizer]
"""One for each of the method's trainables."""
Values = dict[str, float]


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


class Stepper:
    """Takes the steps of a training, each a forward and backward of `accumulate` batches.

    Args:
        batches: whose colours are changed, where the plan has jitter.
        optimisers: of the method's trainables, by name.
    """

    def __init__(
        self,
        method: Method,
        plan: Plan,
        runtime: Runtime,
        guard: Guard,
        batches: Batches | GivenBatches,
        optimisers: Optimisers,
    ):
        self.method, self.plan, self.runtime, self.guard = method, plan, runtime, guard
        self.batches, self.optimisers = batches, optimisers

    def __call__(self, done: int, saved: int, clips: Iterator[Clip]) -> Values | None:
        """Step number done + 1; what is to be recorded of it, if anything.

        Args:
            done: steps before it.
            saved: step of the last checkpoint, 0 where there is none.
        Raises:
            FloatingPointError: see Guard.
        """
        plan, method, main = self.plan, self.method, self.optimisers["students"]
        rate = plan.lr * plan.rate(done)
        for group in main.param_groups:
            group["lr"] = rate
        self.guard.remember()
        values, norms, context, waited = self._accumulate(done, clips)
        norm = self.runtime.clip_gradients(method.trainable_modules, main, plan.clip_grad)
        wrong = not_finite(values, 0.0 if self.runtime.overflows(norm) else norm)
        rejected = self._rejected(done, saved, wrong, *method.trainables)
        if rejected:
            self.runtime.skip_step()
        else:
            main.step()
            method.update_averages()
        main.zero_grad()
        if not rejected:
            values |= self._discriminator_steps(done, saved, context)
        self.guard.end_step()
        if rejected:
            return {"skipped": self.guard.in_a_row, "lr": rate, "waited": waited}
        if (done + 1) % plan.log_every and done + 1 not in (1, plan.steps) and not norms:
            return None
        values = self.runtime.mean(values | method.observed(context))
        return values | norms | {"gradient": norm, "lr": rate, "waited": waited}

    def _accumulate(self, done: int, clips: Iterator[Clip]) -> tuple[Values, Values, DistillationContext, float]:
        """Forward and backward of a step's batches: mean values, gradient norms, the last context, seconds waited."""
        plan, method, progress = self.plan, self.method, done / self.plan.steps
        sums: Values = {}
        waited = 0.0
        for portion in range(plan.accumulate):
            asked = time.monotonic()
            clip = next(clips)
            waited += time.monotonic() - asked
            with self.runtime.accumulating(method.trainable_modules, more=portion + 1 < plan.accumulate):
                seen = self.batches.coloured(clip, done * plan.accumulate + portion)
                context = method.context(clip, seen.students, progress, seen.teacher)
                losses = method.losses(context)
                weighted = method.weighted(losses, progress)
                loss = torch.stack(list(weighted.values())).sum()
                norms = self._gradient_norms(weighted, context) if self._measures_norms(done + 1) else {}
                self.runtime.backward(loss / plan.accumulate)
            for key, value in {"loss": loss, **losses}.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach()) / plan.accumulate
        return sums, norms, context, waited

    def _discriminator_steps(self, done: int, saved: int, context: DistillationContext) -> Values:
        """The discriminators' own step, if there are any; the values of their losses."""
        values: Values = {}
        for name, loss in self.method.discriminator_losses(context):
            value = {f"{name}/critic": float(loss.detach())}
            self.runtime.backward(loss)
            if not self._rejected(done, saved, not_finite(value), name):
                self.optimisers[name].step()
                values |= value
            self.optimisers[name].zero_grad()
        return values

    def _measures_norms(self, number: int) -> bool:
        every = self.plan.gradient_norms_every
        return every > 0 and (number == 1 or number % every == 0)

    def _gradient_norms(self, weighted: dict[str, Tensor], context: DistillationContext) -> Values:
        """Norm of each weighted term's gradient in the (first) student: which term pulls how hard."""
        found: Values = {}
        for place in self.plan.gradient_norms_at:
            at = [context.student.prediction.uncropped]
            if place == "encoder":
                at = [p for p in self.method.student.encoder.parameters() if p.requires_grad]
            prefix = "gradient" if place == "encoder" else f"gradient_at_{place}"
            for name, value in weighted.items():
                if value.requires_grad:
                    found[f"{prefix}/{name}"] = self.runtime.gradient_norm(value, at)
        return found

    def _rejected(self, done: int, saved: int, what: str | None, *trainables: str) -> bool:
        """Whether these trainables must skip their step; all processes agree, where they meet after the backward."""
        wrong = self.runtime.any(what is not None)
        if wrong:
            what = what or "a term or gradient of another process is not finite"
            self.guard.reject(what, done + 1, saved, *trainables)
        return wrong
