"""Code from outside the package: import strings in the user's own config, and entry points of installed packages."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

REFUSED = "TEMPORALKD_NO_IMPORT"
"""Environment variable, so that the processes of a training know too: where it is set, nothing is imported by name."""
ALLOWED = "TEMPORALKD_IMPORT"
"""The same for what may be: names, or modules for all that is in them, with commas between."""

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key, the value and what was expected."""


def load_entry_points(group: str) -> None:
    """Import what installed packages offer in an entry point group; it registers itself when it is imported.

    Raises:
        ImportError: an entry point cannot be imported; names it.
    """
    for point in entry_points(group=group):
        try:
            point.load()
        except (ImportError, AttributeError) as error:
            raise ImportError(f"entry point {point.name!r} of {group} ({point.value}): {error}") from error


def named(name: str, where: str) -> Callable[..., Any]:
    """The callable behind an import string of a config.

    Args:
        where: the key that names it, for the error.
    Raises:
        ConfigError: see `imported`.
    """
    try:
        return imported(name)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def call(maker: Callable[..., Any], options: dict[str, Any], where: str) -> Any:
    """Call it with the options of a config.

    Raises:
        ConfigError: it takes no such options.
    """
    try:
        inspect.signature(maker).bind(**options)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError:  # a builtin, which does not say what it takes
        pass
    return maker(**options)


def allow(names: Iterable[str]) -> None:
    """Callables "package.module:name", or modules and all in them, that may be imported from now on."""
    known = dict.fromkeys([*_allowed(), *names])
    if known:
        os.environ[ALLOWED] = ",".join(known)


def imported(name: str) -> Callable[..., Any]:
    """The callable "package.module:name", from what is installed or from the working folder.

    Raises:
        ValueError: not allowed, refused by --no-import, not of that form, not to be imported, or not callable; says
            why.
    """
    if os.environ.get(REFUSED):
        raise ValueError(f"import {name!r}: refused by --no-import")
    if not _NAME.fullmatch(name):
        raise ValueError(f"import {name!r}: expected package.module:name")
    module, _, attribute = name.partition(":")
    if not any(grant == name or f"{module}.".startswith(f"{grant}.") for grant in _allowed()):
        raise ValueError(
            f"import {name!r}: no config of yours names it, and importing it runs it: if you trust it, say "
            f"temporalkd --import {name} COMMAND, or set {ALLOWED}, which is {os.environ.get(ALLOWED) or 'empty'}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"import {name!r}: {error} (looked for in {here} and among installed packages)") from error
    if not callable(found):
        raise ValueError(f"import {name!r} is not callable")
    return found


def _allowed() -> list[str]:
    return [name.strip() for name in os.environ.get(ALLOWED, "").split(",") if name.strip()]
