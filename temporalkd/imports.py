"""Code of the user's own, named by import string in the user's own config."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REFUSED = "TEMPORALKD_NO_IMPORT"
"""Environment variable, so that the processes of a training know too: where it is set, nothing is imported by name."""

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def imported(name: str) -> Callable[..., Any]:
    """The callable "package.module:name", from what is installed or from the working folder.

    Raises:
        ValueError: refused by --no-import, not of that form, not to be imported, or not callable; says why.
    """
    if os.environ.get(REFUSED):
        raise ValueError(f"import {name!r}: refused by --no-import")
    if not _NAME.fullmatch(name):
        raise ValueError(f"import {name!r}: expected package.module:name")
    module, _, attribute = name.partition(":")
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
