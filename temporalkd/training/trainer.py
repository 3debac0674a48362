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
from temporalkd.training.failures import explained
from temporalkd.training.guard import Guard, not_finite, refuse_not_finite
from temporalkd.training.interrupts import Interrupts, leave_to_parent
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
        self.guard = Guard(method.players, plan.on_nonfinite == "skip", plan.nonfinite_limit, runtime.is_main)
        self.interrupts = Interrupts(says=runtime.is_main)
        self.done, self.saved, self.evaluated, self.best = 0, 0, 0, -math.inf

    def fit(self, resume: bool = False) -> None:
        """Train to the end of the plan, from the start or from the run's newest checkpoint, if there is one.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM; the step was ended and saved first. Says where one can go on. In
                other processes than the main one it is a SystemExit.
            FloatingPointError: see Guard; MemoryError, ChildProcessError, ConnectionError: see failures.
        """
        with self.interrupts:
            try:
                self._fit(resume)
            except KeyboardInterrupt as error:
                if not self.runtime.is_main:
                    raise SystemExit(0) from error
                saved = f"--resume goes on from step {self.saved}" if self.saved else "before its first checkpoint"
                raise KeyboardInterrupt(f"{self.name}: interrupted at step {self.done}; {saved}") from error
            except Exception as error:
                clips = f"{self.plan.batch} clips of {self.clips.length} frames at once"
                told = explained(error, self.done + 1, self.saved, clips)
                if told is error:
                    raise
                raise told from error

    def _fit(self, resume: bool) -> None:
        plan, runtime, method = self.plan, self.runtime, self.method
        torch.manual_seed(plan.seed + runtime.rank)
        for module in method.frozen:
            module.to(runtime.device)
        found = checkpoint.latest(self.folder / "checkpoints") if resume else None
        if found is None:
            method.trainee.to(runtime.device)
            method.prepare(clip.to(runtime.device) for clip in self._batches(0, FIT_CLIPS, workers=0))
            method.fit(self._fitting_batches)
        else:
            for name, player in method.players.items():
                checkpoint.restore(player, found.state["players"].get(name, {}), found.path)
        optimisers = method.optimisers(plan.optimiser_maker())
        for name, player in method.players.items():
            method.players[name], optimisers[name] = runtime.setup(player, optimisers[name])
        if found is not None:
            self._go_on(found, optimisers)
        log = RunLog(self.folder, plan.steps, self.name, enabled=runtime.is_main).open(self.done, self.evaluated)
        try:
            self._loop(optimisers, log)
        finally:
            log.close()

    def _go_on(self, found: checkpoint.Found, optimisers: Optimisers) -> None:
        state = found.state
        if len(state["rng"]) != self.runtime.world:
            raise ValueError(
                f"{found.path} is of {len(state['rng'])} processes, now there are {self.runtime.world}: "
                "resume with as many"
            )
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.done = self.saved = state["step"]
        self.evaluated, self.best = state["evaluated"], state["best"]
        self.guard.restore(state["guard"])
        checkpoint.set_rng_state(state["rng"][self.runtime.rank])

    def _loop(self, optimisers: Optimisers, log: RunLog) -> None:
        if self._evaluates() and self.evaluated < self.done:  # cut off in its midst
            self._keep(optimisers, log)
        for number, end in enumerate(self.ends, start=1):
            before = self.done
            with self.interrupts.held():
                self._round(end, optimisers, log)
            if self.between is not None and before <= end:
                with self.interrupts.at_once():
                    values = self.between(number, True)
                log.round(end, number, values)
            elif self.between is not None:
                self.between(number, False)

    def _round(self, end: int, optimisers: Optimisers, log: RunLog) -> None:
        """The steps up to number `end`, if there are any to be done."""
        plan = self.plan
        for player in self.method.players.values():
            player.train()
        batches = self._batches(self.done * plan.accumulate, max(end - self.done, 0) * plan.accumulate, plan.workers)
        while self.done < end:
            started = time.monotonic()
            values = self._step(batches, optimisers)
            if values is not None:
                values |= {"seconds": time.monotonic() - started}
            self._require_folder(optimisers, log)
            log.step(self.done, values)
            (leaving,) = self.runtime.any(self.interrupts.asked)
            if leaving:
                self._save(optimisers, log, checkpoint.LAST)
                raise KeyboardInterrupt
            self._keep(optimisers, log)

    def _step(self, batches: Iterator[Clip], optimisers: Optimisers) -> dict[str, float] | None:
        """One step of every player; what is to be recorded of it, if anything."""
        plan, method, main = self.plan, self.method, optimisers["trainee"]
        rate = plan.lr * plan.rate(self.done)
        for group in main.param_groups:
            group["lr"] = rate
        self.guard.remember()
        values, norms, step, waited = self._accumulate(batches)
        norm = self.runtime.clip_gradients(method.trainee, main, plan.clip_grad)
        rejected = self._rejected(not_finite(values, norm), *method.players)
        if not rejected:
            main.step()
        main.zero_grad()
        if not rejected:
            values |= self._reply(step, optimisers)
        self.guard.end_step()
        self.done += 1
        if rejected:
            return {"skipped": self.guard.in_a_row, "lr": rate, "waited": waited}
        if self.done % plan.log_every and self.done not in (1, plan.steps) and not norms:
            return None
        values = self.runtime.mean(values | method.observed(step))
        return values | norms | {"gradient": norm, "lr": rate, "waited": waited}

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
            if self._rejected(not_finite({f"{name}/critic": values[f"{name}/critic"]}), name):
                del values[f"{name}/critic"]
            else:
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

    def _rejected(self, what: str | None, *players: str) -> bool:
        """Whether the players must not make their step; all processes agree, where they meet after the backward."""
        (wrong,) = self.runtime.any(what is not None)
        if wrong:
            what = what or "a term or gradient of another process is not finite"
            self.guard.reject(what, self.done + 1, self.saved, *players)
        return wrong

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
            pin_memory=self.runtime.device.type == "cuda",
            generator=torch.Generator(),  # of its own: a run that resumes must not draw from the one dropout uses
            worker_init_fn=_begin_worker,
        )
        return iter(loader)

    def _evaluates(self) -> bool:
        every, end = self.plan.evaluate_every, self.done == self.plan.steps
        return self.evaluate is not None and (end or (every > 0 and self.done > 0 and self.done % every == 0))

    def _keep(self, optimisers: Optimisers, log: RunLog) -> None:
        """Evaluate and write checkpoints where the plan says so."""
        due, better = self.done in self.ends or self.done % self.plan.checkpoint_every == 0, False
        if due or self._evaluates():  # a validation set that cannot be read must not cost the training
            self._save(optimisers, log, checkpoint.LAST)
        if not self._evaluates():
            return
        assert self.evaluate is not None
        self.runtime.share_buffers(self.method.trainee)
        with self.interrupts.at_once():
            metrics = self.evaluate(self.method.best_student(), self.done == self.plan.steps)
        self._require_folder(optimisers, log)
        self.evaluated = self.done
        log.evaluation(self.done, metrics)
        miou = metrics.get("miou")
        if miou is not None and miou > self.best:
            self.best, better = miou, True
        self.method.trainee.train()
        if better:  # the best one first: whoever goes on from the last one believes that it is there
            self._save(optimisers, log, checkpoint.BEST)
        if due or better:
            self._save(optimisers, log, checkpoint.LAST)

    def _require_folder(self, optimisers: Optimisers, log: RunLog) -> None:
        """Stop where somebody has removed the run's folder; what was trained is saved there first."""
        (removed,) = self.runtime.any(not self.folder.is_dir())
        if removed:
            self._save(optimisers, log, checkpoint.LAST)
            raise FileNotFoundError(
                f"{self.folder} was removed while it was trained into: it is there again without its log, "
                f"and --resume goes on from step {self.done}"
            )

    def _save(self, optimisers: Optimisers, log: RunLog, name: str) -> None:
        """Write a checkpoint, in the main process; all must come here."""
        refuse_not_finite(unwrap(self.method.trainee), self.done, self.saved)
        rng = self.runtime.gather(checkpoint.rng_state())
        if self.runtime.is_main:
            state = {
                "step": self.done,
                "evaluated": self.evaluated,
                "best": self.best,
                "guard": self.guard.state(),
                "players": {name: unwrap(player).state_dict() for name, player in self.method.players.items()},
                "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
                "rng": rng,
            }
            log.sync()
            place = self.folder / "checkpoints"
            checkpoint.save(state, place / name, place / checkpoint.PREVIOUS if name == checkpoint.LAST else None)
        if name == checkpoint.LAST:
            self.saved = self.done


def _begin_worker(number: int) -> None:
    leave_to_parent(number)
    give_back_freed_memory(number)
