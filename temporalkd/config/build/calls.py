"""What a config names by import string, called with the options it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from temporalkd.config import ConfigError
from temporalkd.plugins import imported


def named(name: str, where: str) -> Callable[..., Any]:
    """The callable behind an import string; `where` is the key that says so."""
    try:
        return imported(name)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def call(maker: Callable[..., Any], options: dict[str, Any], where: str) -> Any:
    """Call it, unless the options do not fit."""
    try:
        inspect.signature(maker).bind(**options)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError:  # a builtin, which does not say what it takes
        pass
    return maker(**options)
