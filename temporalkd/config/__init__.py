"""Configs: schema, reading and writing YAML, errors for people, and `build`, which makes objects of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from temporalkd.plugins import ConfigError

if TYPE_CHECKING:
    from temporalkd.config.choices import EvaluationFlow, FlowKind, Protocol
    from temporalkd.config.schema import Config
    from temporalkd.config.yaml_io import dump, load, parse

_HOMES = {
    **dict.fromkeys(("EvaluationFlow", "FlowKind", "Protocol"), "choices"),
    **dict.fromkeys(("dump", "load", "parse"), "yaml_io"),
    "Config": "schema",
}

__all__ = ["Config", "ConfigError", "EvaluationFlow", "FlowKind", "Protocol", "dump", "load", "parse"]


def __getattr__(name: str) -> Any:
    """Names are imported when they are used: `temporalkd --help` needs no pydantic."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
