"""Whether the optional packages are there."""

from __future__ import annotations

import importlib.util


def require_export(*packages: str) -> None:
    """Refuse where a package is not installed.

    Raises:
        ValueError: one is missing; says how to install it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            extra = "openvino" if package == "openvino" else "export"
            raise ValueError(f"{package} is not installed: pip install -e '.[{extra}]' in the checkout")
