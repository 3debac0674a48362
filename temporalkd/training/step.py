"""One training step: forward, backward, what is not finite, the optimisers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from temporalkd.data.clip import Clip
from temporalkd.methods import DistillationContext, Method
from temporalkd.training.distributed import Runtime
from temporalkd.training.loader import Batches, GivenBatches
from temporalkd.training.nonfinite import Guard, not_finite
from temporalkd.training.schedule import Plan

Optimisers = dict[str, torch.optim.Optimizer]
"""One for each of the method's trainables."""
Values = dict[str, float]


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
        (wrong,) = self.runtime.any(what is not None)
        if wrong:
            what = what or "a term or gradient of another process is not finite"
            self.guard.reject(what, done + 1, saved, *trainables)
        return wrong
