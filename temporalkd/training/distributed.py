"""Devices, processes and precision: the one file that knows Lightning Fabric."""

from __future__ import annotations

import atexit
import gc
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from temporalkd.training.errors import PEER, of_another_process

T = TypeVar("T")
PrecisionName = Literal["32-true", "bf16-mixed", "16-mixed"]


class Runtime:
    """One process of a training: where it runs, and how its gradients meet those of the others.

    Args:
        accelerator: "cpu", "gpu", or "auto": CUDA where there is some. Apple's GPUs lack the float64 of some counts.
        devices: processes on this machine, or "auto".
        precision: "32-true", "bf16-mixed", or "16-mixed", which scales the loss, for GPUs without bfloat16.
    """

    def __init__(
        self,
        accelerator: str = "auto",
        devices: int | str = 1,
        precision: PrecisionName = "32-true",
        nodes: int = 1,
    ):
        from lightning_fabric import Fabric  # here, so that looking at a config does not import it
        from lightning_fabric.plugins import MixedPrecision

        if accelerator == "auto":
            accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        strategy = "auto" if devices == 1 and nodes == 1 else "ddp"
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no frames of C++ where a process leaves early
        self.scaler = None
        """Of the loss in 16-mixed."""
        how: dict[str, Any] = {"precision": precision}
        if precision == "16-mixed":  # given, as Fabric alone would compute in bfloat16 on a CPU
            device = "cpu" if accelerator == "cpu" else "cuda"
            self.scaler = torch.amp.GradScaler(device)
            how = {"plugins": [MixedPrecision("16-mixed", device, self.scaler)]}
        try:
            self._fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, **how)
        except RuntimeError as error:
            raise ValueError(f"training.accelerator {accelerator!r}, training.devices {devices!r}: {error}") from error

    def launch(self, job: Callable[[], Any]) -> Any:
        """Run the job in every process; starts them where that is not done yet.

        Raises:
            ConnectionError: another process has ended; what the job raises.
        """
        atexit.unregister(_leave)
        try:
            self._fabric.launch()
            found = job()
        except Exception as error:
            if of_another_process(error):
                raise ConnectionError(PEER) from error
            raise
        if self.world > 1:  # not where it failed: who waits for another process would wait at the exit too
            atexit.register(_leave)
        return found

    @property
    def device(self) -> torch.device:
        """This process's device."""
        return self._fabric.device

    @property
    def world(self) -> int:
        """Number of processes."""
        return self._fabric.world_size

    @property
    def rank(self) -> int:
        """This process's number."""
        return self._fabric.global_rank

    @property
    def is_main(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self._fabric.is_global_zero

    def setup(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Move a module to the device and wrap it, with its optimiser, for this number of processes."""
        wrapped, optimiser = self._fabric.setup(module, optimiser)
        return wrapped, optimiser

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss; in the last of a step's forwards they are averaged over the processes."""
        self._fabric.backward(loss)

    def gradient_norm(self, value: Tensor, at: Sequence[Tensor]) -> float:
        """Norm of a value's gradient over tensors on the way to it; the graph stays, no parameter gathers it."""
        from lightning_fabric import wrappers

        wrappers._in_fabric_backward = True  # Fabric.backward would gather in the parameters, and start DDP's reduction
        try:
            gradients = torch.autograd.grad(value, list(at), retain_graph=True, allow_unused=True)
        finally:
            wrappers._in_fabric_backward = False
        norms = [gradient.norm() for gradient in gradients if gradient is not None]
        return float(torch.stack(norms).norm()) if norms else 0.0

    def accumulating(self, module: nn.Module, more: bool) -> AbstractContextManager[None]:
        """Within it gradients stay in this process where `more` forwards of the same step follow."""
        return self._fabric.no_backward_sync(cast(Any, module), enabled=more)

    def clip_gradients(self, module: nn.Module, optimiser: torch.optim.Optimizer, norm: float | None) -> float:
        """Clip the gradient to that norm, and return what it was."""
        limit = float("inf") if norm is None else norm
        total = self._fabric.clip_gradients(module, optimiser, max_norm=limit, error_if_nonfinite=False)
        return float(total) if total is not None else 0.0

    def overflows(self, norm: float) -> bool:
        """Whether a gradient that is not finite is due to the loss's scale: the step is skipped, the scale halved."""
        return self.scaler is not None and not math.isfinite(norm) and self.scaler.get_scale() >= 1

    def skip_step(self) -> None:
        """Instead of the step of an optimiser whose gradients were clipped."""
        if self.scaler is not None:
            self.scaler.update()

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the main one's buffers, as a forward would: until then each has its own statistics."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def barrier(self) -> None:
        """Wait for all processes."""
        self._fabric.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in some process: the same answer in all."""
        if self.world == 1:
            return flag
        count = torch.tensor(flag, dtype=torch.int32, device=self.device)
        dist.all_reduce(count)
        return bool(count > 0)

    def gather(self, own: T) -> list[T]:
        """Every process's object, in the order of their numbers, in each."""
        if self.world == 1:
            return [own]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, own)
        return found

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Mean of each value over the processes."""
        if self.world == 1:
            return values
        stacked = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        reduced = cast(Tensor, self._fabric.all_reduce(stacked, reduce_op="mean"))
        return dict(zip(values, reduced.tolist()))


def all_sum(local: Tensor) -> Tensor:
    """Sum of the processes' tensors, the same in each; the gradient reaches the process's own part.

    It is multiplied by the number of processes: once DDP has averaged the gradients, they are those of one process
    with the whole batch, for any function of the sum. One process: the tensor itself.
    """
    processes = dist.get_world_size() if dist.is_initialized() else 1
    if processes == 1:
        return local
    total = local.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    scaled = local * processes
    return total + (scaled - scaled.detach())


def _leave() -> None:
    """Gloo's threads abort, now and then, a process that ends with them (github.com/pytorch/pytorch/issues/190489).

    They end with the last who knows their group: what is wrapped for it goes first.
    """
    gc.collect()
    if dist.is_initialized():
        dist.destroy_process_group()


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside what `Runtime.setup` returned; any other module as it is."""
    from lightning_fabric.wrappers import _FabricModule

    return module.module if isinstance(module, _FabricModule) else module
