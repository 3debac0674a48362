"""Code of the user's own, named by import string in the user's own config."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def imported(name: str) -> Callable[..., Any]:
    """The callable "package.module:name", from what is installed or from the working folder.

    Raises:
        ValueError: not of that form, not to be imported, or not callable; says why.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"import {name!r}: expected package.module:name")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"import {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"import {name!r} is not callable")
    return found
