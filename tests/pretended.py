"""A GPU that is none: tensors that say they are on one, and are refused wherever one would refuse them.

They lie in main memory and are computed there, so that whole commands run and their results can be looked at. What is
refused as it would be: tensors of both places in one call, numpy. Kernels are the processor's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader

from temporalkd.training.runtime import Runtime

GPU = torch.device("cuda", 0)


class OnGpu(Tensor):
    """Main memory that says otherwise."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


class ParameterOnGpu(nn.Parameter):
    """The same of a parameter, which keeps its identity when its network moves."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


There = OnGpu | ParameterOnGpu
_ANSWERS = {
    Tensor.device.__get__: lambda there: GPU if there else torch.device("cpu"),  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: lambda there: there,  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: lambda there: not there,  # type: ignore[attr-defined]
}
_TO_NUMPY = {Tensor.numpy, Tensor.__array__}
_BACKWARDS = {Tensor.backward, torch.autograd.backward, torch.autograd.grad}
_BETWEEN = {Tensor.copy_, Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.__setitem__, Tensor.data.__set__}  # type: ignore[attr-defined]


def is_there(tensor: object) -> bool:
    """Whether a tensor says that it is on the GPU."""
    return isinstance(tensor, There)


class PretendedGpu(TorchFunctionMode):
    """Within it "cuda" is a device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = any(map(is_there, tensors))
        if func in _ANSWERS:
            return _ANSWERS[func](there)
        if func in _TO_NUMPY and there:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if func is Tensor.__deepcopy__ and there:
            return _deepcopied(*args)
        if func is Tensor.__reduce_ex__ and there:
            return _plain(args[0]).__reduce_ex__(*args[1:])
        if func not in _BETWEEN and func not in _BACKWARDS:
            _refuse_both_places(func, args, tensors)
        place, args, kwargs = _asked_place(func, args, kwargs)
        out = func(*args, **kwargs)
        if place == "cpu":
            return tree_map(_copied_back, out) if there else out
        return tree_map(_brought, out) if there or place == "cuda" else out


def _refuse_both_places(func: Any, args: Any, tensors: list[Tensor]) -> None:
    joined = func in (torch.stack, torch.cat)
    apart = {is_there(tensor) for tensor in tensors if joined or tensor.dim()}
    if func is Tensor.__getitem__ and is_there(args[0]):
        return  # indices may lie in main memory
    if len(apart) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu: {func}")


def _asked_place(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[str | None, Any, dict[str, Any]]:
    """ "cuda" or "cpu" where the call names it, and the call without it."""
    if func in (Tensor.cpu, Tensor.cuda):
        return func.__name__, args, kwargs
    if "device" in kwargs and kwargs["device"] is not None:
        kind = torch.device(kwargs["device"]).type
        return kind, args, kwargs | {"device": kind if kind == "meta" else "cpu"}
    if func is Tensor.to and len(args) > 1:
        other = args[1]
        if isinstance(other, Tensor):
            return ("cuda" if is_there(other) else "cpu"), args, kwargs
        if isinstance(other, str | torch.device):
            return torch.device(other).type, (args[0], "cpu", *args[2:]), kwargs
    return None, args, kwargs


def _plain(tensor: Tensor) -> Tensor:
    return _as_subclass(tensor, Tensor)


def _brought(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or isinstance(leaf, There) or leaf.is_meta:
        return leaf
    if leaf.is_leaf:
        return Tensor._make_subclass(OnGpu, leaf.detach(), leaf.requires_grad)
    return _as_subclass(leaf, OnGpu)


def _as_subclass_there(tensor: Tensor, kind: type[Tensor]) -> Tensor:
    return tensor if is_there(tensor) else _as_subclass(tensor, kind)


def _copied_back(leaf: Any) -> Any:
    return _plain(leaf).clone() if isinstance(leaf, Tensor) else leaf


def _deepcopied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(tensor) not in memo:
        copy = _plain(tensor.detach()).clone()
        copied = nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
        copied.__class__ = type(tensor)
        memo[id(tensor)] = copied
    return memo[id(tensor)]


def _move(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    here, there = (Tensor, nn.Parameter), (OnGpu, ParameterOnGpu)
    classes = dict(zip(here, there)) if device is not None and device.type == "cuda" else dict(zip(there, here))

    def moved(tensor: Tensor) -> Tensor:
        if device is not None:
            tensor.__class__ = classes.get(type(tensor), type(tensor))
        return tensor

    if dtype is not None or memory_format is not None:
        _to(module, dtype=dtype, memory_format=memory_format)
    return module._apply(moved)


_to, _as_subclass = nn.Module.to, Tensor.as_subclass


def _here(job: Any) -> Any:
    """A job for which nothing is pretended: tracing looks behind tensors."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return job(*args, **kwargs)

    return run


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Commands find a GPU, and take it."""
    run, load = threading.Thread.run, DataLoader.__init__

    def in_mode(thread: threading.Thread) -> None:
        with PretendedGpu():
            run(thread)

    def unpinned(loader: Any, *args: Any, **kwargs: Any) -> None:
        load(loader, *args, **kwargs | {"pin_memory": False})

    def set_up(runtime: Any, module: nn.Module, optimiser: Any) -> Any:
        return runtime._fabric.setup(module.to(GPU), optimiser, move_to_device=False)

    replaced: dict[tuple[Any, str], Any] = {
        (Tensor, "as_subclass"): _as_subclass_there,
        (nn.Module, "to"): _move,
        (nn.Module, "cpu"): lambda module: module.to("cpu"),
        (threading.Thread, "run"): in_mode,
        (torch.export, "export"): _here(torch.export.export),
        (torch.onnx, "export"): _here(torch.onnx.export),
        (DataLoader, "__init__"): unpinned,
        (Runtime, "device"): property(lambda runtime: GPU),
        (Runtime, "setup"): set_up,
        (torch.cuda, "is_available"): lambda: True,
        (torch.cuda, "device_count"): lambda: 0,
        (torch.cuda, "get_device_name"): lambda device=None: "pretended",
        (torch.accelerator, "current_stream"): lambda: SimpleNamespace(is_capturing=lambda: False),
        (torch.cuda, "is_bf16_supported"): lambda: False,
        (torch.cuda, "is_initialized"): lambda: True,
        (torch.cuda, "get_rng_state"): lambda device=None: torch.get_rng_state(),
        (torch.cuda, "set_rng_state"): lambda state, device=None: None,
        (torch.cuda, "reset_peak_memory_stats"): lambda device: None,
        (torch.cuda, "synchronize"): lambda device=None: None,
        (torch.cuda, "max_memory_allocated"): lambda device: 0,
    }
    with ExitStack() as stack:
        for (place, name), value in replaced.items():
            stack.enter_context(patch.object(place, name, value))
        stack.enter_context(PretendedGpu())
        yield
