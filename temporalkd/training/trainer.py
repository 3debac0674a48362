"""The training loop, visible from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from temporalkd.data.sampler import ClipSampler
from temporalkd.losses import local_sum
from temporalkd.methods import Method
from temporalkd.methods.method import PREPARE_BATCHES
from temporalkd.models import Segmenter
from temporalkd.training import checkpoint
from temporalkd.training.distributed import Runtime, all_sum, unwrap
from temporalkd.training.errors import explained
from temporalkd.training.log import RunLog, Values
from temporalkd.training.nonfinite import Guard, refuse_not_finite
from temporalkd.training.schedule import Plan
from temporalkd.training.signals import Interrupts
from temporalkd.training.step import Batches, GivenBatches, Optimisers, Stepper

Evaluate = Callable[[Segmenter, bool], Values]
"""(student, whether this is the last time) -> metrics, the one that is watched among them."""
Between = Callable[[int, bool], Values]
"""(number of a round, whether it has just ended, not before the run was resumed) -> what the log shows of it."""


class Trainer:
    """Trains a method's student on clips and keeps a run folder.

    Args:
        folder: checkpoints/ and the log go there.
        evaluate: called every plan.evaluate_every steps and at the end, in every process.
        watch: the metric of `evaluate` whose largest value makes checkpoints/best.pt; None does not count.
        between: called after each of the method's rounds, with its last step in checkpoints/last.pt; a run that is
            resumed there calls it again. Where it has been called, clips are read anew.
    Raises:
        ValueError: the method has more rounds than there are steps.
    """

    def __init__(
        self,
        method: Method,
        clips: ClipSampler | GivenBatches,
        plan: Plan,
        runtime: Runtime,
        folder: Path,
        evaluate: Evaluate | None = None,
        name: str = "train",
        between: Between | None = None,
        watch: str = "miou",
    ):
        rounds = method.self_training.rounds if method.self_training else 1
        if rounds > plan.steps:
            raise ValueError(
                f"method.rounds is {rounds}, training.steps {plan.steps}: each round needs a step of its own"
            )
        self.method, self.plan, self.runtime = method, plan, runtime
        self.folder, self.evaluate, self.name, self.between = folder, evaluate, name, between
        self.watch = watch
        self.ends = [plan.steps * (number + 1) // rounds for number in range(rounds)]
        method.eval_mode = plan.eval_mode
        method.all_sum = all_sum if runtime.world > 1 else local_sum
        if plan.ema:
            method.keep_average(plan.ema)
        self.batches = clips if isinstance(clips, GivenBatches) else Batches(clips, plan, runtime)
        self.guard = Guard(method.trainables, plan.on_nonfinite == "skip", plan.nonfinite_limit, runtime.is_main)
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
                saved = f"--resume goes on from step {self.saved}" if self.saved else "nothing was saved yet"
                raise KeyboardInterrupt(f"{self.name}: interrupted at step {self.done}; {saved}") from error
            except Exception as error:
                told = explained(error, self.done + 1, self.saved, self.batches.size)
                if told is error:
                    raise
                raise told from error
            finally:
                self.method.trainables |= {name: unwrap(module) for name, module in self.method.trainables.items()}

    def _fit(self, resume: bool) -> None:
        plan, runtime, method = self.plan, self.runtime, self.method
        torch.manual_seed(plan.seed + runtime.rank)
        for module in method.frozen:
            module.to(runtime.device)
        found = checkpoint.latest(self.folder / "checkpoints") if resume else None
        if found is None:
            method.trainable_modules.to(runtime.device)
            method.prepare(self.batches(0, PREPARE_BATCHES, workers=0))
            if method.self_training:
                method.self_training.fit(method, self.batches.labelled_half)
        else:
            for name, module in method.trainables.items():
                checkpoint.restore(module, found.state["trainables"].get(name, {}), found.path)
            method.prepared = True
        optimisers = method.optimisers(plan.optimiser_maker())
        for name, module in method.trainables.items():
            method.trainables[name], optimisers[name] = runtime.setup(module, optimisers[name])
        if found is not None:
            self._go_on(found, optimisers)
        log = RunLog(self.folder, plan.steps, self.name, runtime.is_main, plan.loggers).open(self.done, self.evaluated)
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
        if self.runtime.scaler is not None and state.get("scaler"):
            self.runtime.scaler.load_state_dict(state["scaler"])
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
        for module in self.method.trainables.values():
            module.train()
        clips = self.batches(self.done * plan.accumulate, max(end - self.done, 0) * plan.accumulate, plan.workers)
        step = Stepper(self.method, plan, self.runtime, self.guard, self.batches, optimisers)
        while self.done < end:
            started = time.monotonic()
            values = step(self.done, self.saved, clips)
            self.done += 1
            if values is not None:
                values |= {"seconds": time.monotonic() - started}
            leaving = self.runtime.any(self.interrupts.asked)
            log.step(self.done, values)
            if leaving:
                self._save(optimisers, log, checkpoint.LAST)
                raise KeyboardInterrupt
            self._keep(optimisers, log)

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
        self.runtime.share_buffers(self.method.trainable_modules)
        with self.interrupts.at_once():
            metrics = self.evaluate(self.method.best_student(), self.done == self.plan.steps)
        self.evaluated = self.done
        log.evaluation(self.done, metrics)
        value = metrics.get(self.watch)
        if value is not None and value > self.best:
            self.best, better = value, True
        self.method.trainable_modules.train()
        if better:  # the best one first: whoever goes on from the last one believes that it is there
            self._save(optimisers, log, checkpoint.BEST)
        if due or better:
            self._save(optimisers, log, checkpoint.LAST)

    def _save(self, optimisers: Optimisers, log: RunLog, name: str) -> None:
        """Write a checkpoint, in the main process; all must come here."""
        refuse_not_finite(unwrap(self.method.trainable_modules), self.done, self.saved)
        rng = self.runtime.gather(checkpoint.rng_state())
        if self.runtime.is_main:
            state = {
                "step": self.done,
                "evaluated": self.evaluated,
                "best": self.best,
                "guard": self.guard.state(),
                "trainables": {name: unwrap(module).state_dict() for name, module in self.method.trainables.items()},
                "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
                "scaler": self.runtime.scaler.state_dict() if self.runtime.scaler else {},
                "rng": rng,
            }
            log.sync()
            place = self.folder / "checkpoints"
            checkpoint.save(state, place / name, place / checkpoint.PREVIOUS if name == checkpoint.LAST else None)
        if name == checkpoint.LAST:
            self.saved = self.done
