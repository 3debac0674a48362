"""The training loop, visible from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from temporalkd.data.augment import ColourJitter
from temporalkd.data.clip import Clip, collate
from temporalkd.data.sampler import ClipSampler
from temporalkd.memory import give_back_freed_memory
from temporalkd.methods import Method, Step
from temporalkd.models import Segmenter
from temporalkd.training import checkpoint
from temporalkd.training.log import RunLog, Values
from temporalkd.training.runtime import Runtime, unwrap
from temporalkd.training.schedule import Plan

Optimisers = dict[str, torch.optim.Optimizer]
"""One a player of the method."""
Evaluate = Callable[[Segmenter, bool], Values]
"""(student, whether this is the last time) -> metrics, "miou" among them."""
Between = Callable[[int, bool], Values]
"""(number of a round, whether it has just ended, not before the run was resumed) -> what the log shows of it."""
FIT_CLIPS = 8
"""Batches that Method.prepare may read."""


class Trainer:
    """Trains a method's student on clips and keeps a run folder.

    Args:
        folder: checkpoints/ and the log go there.
        evaluate: called every plan.evaluate_every steps and at the end, in every process.
        between: called after each of the method's rounds, with its last step in checkpoints/last.pt; a run that is
            resumed there calls it again. Where it has been called, clips are read anew.
    Raises:
        ValueError: the method has more rounds than there are steps.
    """

    def __init__(
        self,
        method: Method,
        clips: ClipSampler,
        plan: Plan,
        runtime: Runtime,
        folder: Path,
        evaluate: Evaluate | None = None,
        name: str = "train",
        between: Between | None = None,
    ):
        if method.rounds > plan.steps:
            raise ValueError(
                f"method.rounds is {method.rounds}, training.steps {plan.steps}: each round needs a step of its own"
            )
        self.method, self.clips, self.plan, self.runtime = method, clips, plan, runtime
        self.folder, self.evaluate, self.name, self.between = folder, evaluate, name, between
        self.ends = [plan.steps * (number + 1) // method.rounds for number in range(method.rounds)]
        self.jitter = ColourJitter(plan.jitter) if plan.jitter else None
        self.done, self.saved, self.best = 0, 0, -math.inf

    def fit(self, resume: bool = False) -> None:
        """Train to the end of the plan, from the start or from checkpoints/last.pt."""
        plan, runtime, method = self.plan, self.runtime, self.method
        torch.manual_seed(plan.seed + runtime.rank)
        for module in method.frozen:
            module.to(runtime.device)
        state = checkpoint.load(self.folder / "checkpoints" / "last.pt") if resume else None
        if state is None:
            method.trainee.to(runtime.device)
            method.prepare(clip.to(runtime.device) for clip in self._batches(0, FIT_CLIPS, workers=0))
            method.fit(self._fitting_batches)
        else:
            for name, player in method.players.items():
                checkpoint.restore(player, state["players"].get(name, {}), self.folder / "checkpoints" / "last.pt")
        optimisers = method.optimisers(plan.optimiser_maker())
        for name, player in method.players.items():
            method.players[name], optimisers[name] = runtime.setup(player, optimisers[name])
        if state is not None:
            for name, optimiser in optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.done = self.saved = state["step"]
            self.best = state["best"]
            checkpoint.set_rng_state(state["rng"])
        log = RunLog(self.folder, plan.steps, self.name, enabled=runtime.is_main).open(self.done)
        try:
            self._loop(optimisers, log)
        finally:
            log.close()

    def _loop(self, optimisers: Optimisers, log: RunLog) -> None:
        for number, end in enumerate(self.ends, start=1):
            before = self.done
            self._round(end, optimisers, log)
            if self.between is not None and before <= end:
                values = self.between(number, True)
                log.round(end, number, values)
            elif self.between is not None:
                self.between(number, False)

    def _round(self, end: int, optimisers: Optimisers, log: RunLog) -> None:
        """The steps up to number `end`, if there are any to be done."""
        plan, method, main = self.plan, self.method, optimisers["trainee"]
        for player in method.players.values():
            player.train()
        batches = self._batches(self.done * plan.accumulate, max(end - self.done, 0) * plan.accumulate, plan.workers)
        while self.done < end:
            started = time.monotonic()
            for group in main.param_groups:
                group["lr"] = plan.lr * plan.rate(self.done)
            values, norms, step, waited = self._accumulate(batches)
            norm = self.runtime.clip_gradients(method.trainee, main, plan.clip_grad)
            self._check_finite(values, norm)
            main.step()
            main.zero_grad()
            values |= self._reply(step, optimisers)
            self.done += 1
            recorded = self.done % plan.log_every == 0 or self.done in (1, plan.steps) or len(norms) > 0
            if recorded:
                values = self.runtime.mean(values | method.observed(step))
                values |= norms | {"gradient": norm, "lr": plan.lr * plan.rate(self.done - 1)}
                values |= {"seconds": time.monotonic() - started, "waited": waited}
            log.step(self.done, values if recorded else None)
            self._keep(optimisers, log)

    def _accumulate(self, batches: Iterator[Clip]) -> tuple[dict[str, float], dict[str, float], Step, float]:
        """Forward and backward of a step's batches: mean values, gradient norms, the last Step, seconds waited."""
        plan, method, progress = self.plan, self.method, self.done / self.plan.steps
        sums: dict[str, float] = {}
        waited = 0.0
        for portion in range(plan.accumulate):
            asked = time.monotonic()
            clip = next(batches).to(self.runtime.device)
            waited += time.monotonic() - asked
            with self.runtime.accumulating(method.trainee, more=portion + 1 < plan.accumulate):
                step = method.step(clip, self._coloured(clip, portion), progress)
                losses = method.losses(step)
                weighted = method.weighted(losses, progress)
                loss = torch.stack(list(weighted.values())).sum()
                norms = self._gradient_norms(weighted, step) if self._measures_norms() else {}
                self.runtime.backward(loss / plan.accumulate)
            for key, value in {"loss": loss, **losses}.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach()) / plan.accumulate
        return sums, norms, step, waited

    def _reply(self, step: Step, optimisers: Optimisers) -> dict[str, float]:
        """The critics' own step, if there are any; the values of their losses."""
        values = {}
        for name, loss in self.method.replies(step):
            values[f"{name}/critic"] = float(loss.detach())
            self.runtime.backward(loss)
            self._check_finite({f"{name}/critic": values[f"{name}/critic"]})
            optimisers[name].step()
            optimisers[name].zero_grad()
        return values

    def _measures_norms(self) -> bool:
        every, number = self.plan.gradient_norms_every, self.done + 1
        return every > 0 and (number == 1 or number % every == 0)

    def _gradient_norms(self, weighted: dict[str, Tensor], step: Step) -> dict[str, float]:
        """Norm of each weighted term's gradient at the (first) student's native logits: which term pulls how hard."""
        logits = step.student.prediction.uncropped
        return {
            f"gradient/{name}": self.runtime.gradient_norm(value, logits)
            for name, value in weighted.items()
            if value.requires_grad
        }

    def _coloured(self, clip: Clip, portion: int) -> Tensor | None:
        if self.jitter is None:
            return None
        draw = (self.done * self.plan.accumulate + portion) * self.runtime.world + self.runtime.rank
        return self.jitter(clip.frames, (self.plan.seed * 1_000_003 + draw) % 2**31)

    def _check_finite(self, values: dict[str, float], gradient: float = 0.0) -> None:
        """Stop before the optimiser's step. After the backward, where all processes meet: so that all of them stop."""
        wrong = [name for name, value in values.items() if name != "loss" and not math.isfinite(value)]
        if wrong or not math.isfinite(gradient):
            what = f"term {wrong[0]!r} is {values[wrong[0]]}" if wrong else f"the norm of the gradient is {gradient}"
            kept = f", checkpoints/last.pt is of step {self.saved}" if self.saved else ""
            raise FloatingPointError(
                f"{what} at step {self.done + 1}: stopped{kept}; a smaller training.lr or training.clip_grad may help"
            )

    def _fitting_batches(self, count: int) -> Iterator[Clip]:
        """The first batches of half of the labelled clips, the same in every process."""
        clips = self.clips.labelled_half()
        return (clip.to(self.runtime.device) for clip in self._load(clips, range(count), 0))

    def _batches(self, start: int, count: int, workers: int) -> Iterator[Clip]:
        """Batches number start .. start + count - 1 of this process."""
        world, rank = self.runtime.world, self.runtime.rank
        return self._load(self.clips, range(start * world + rank, (start + count) * world, world), workers)

    def _load(self, clips: ClipSampler, numbers: range, workers: int) -> Iterator[Clip]:
        positions = [[number * self.plan.batch + i for i in range(self.plan.batch)] for number in numbers]
        loader = DataLoader(
            clips,
            batch_sampler=positions,
            collate_fn=collate,
            num_workers=workers,
            worker_init_fn=give_back_freed_memory,
            pin_memory=self.runtime.device.type == "cuda",
            generator=torch.Generator(),  # of its own: a run that resumes must not draw from the one dropout uses
        )
        return iter(loader)

    def _keep(self, optimisers: Optimisers, log: RunLog) -> None:
        """Evaluate and write checkpoints where the plan says so."""
        plan, end = self.plan, self.done == self.plan.steps
        due, better = self.done in self.ends or self.done % plan.checkpoint_every == 0, False
        if self.evaluate and (end or (plan.evaluate_every and self.done % plan.evaluate_every == 0)):
            if due and self.runtime.is_main:  # a validation set that cannot be read must not cost the training
                self._save(optimisers, "last")
            self.runtime.share_buffers(self.method.trainee)
            metrics = self.evaluate(self.method.best_student(), end)
            log.evaluation(self.done, metrics)
            miou = metrics.get("miou")
            better = miou is not None and miou > self.best
            self.best = max(self.best, miou) if miou is not None else self.best
            self.method.trainee.train()
        if self.runtime.is_main and (due or better):
            self._save(optimisers, *(["last", "best"] if better else ["last"]))

    def _save(self, optimisers: Optimisers, *names: str) -> None:
        state = {
            "step": self.done,
            "best": self.best,
            "players": {name: unwrap(player).state_dict() for name, player in self.method.players.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
            "rng": checkpoint.rng_state(),
        }
        self.saved = self.done
        for name in names:
            checkpoint.save(state, self.folder / "checkpoints" / f"{name}.pt")
