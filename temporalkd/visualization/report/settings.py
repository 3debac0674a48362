"""The settings in which the compared runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import yaml

from temporalkd.visualization.report.contents import System


def differing_settings(systems: Sequence[System]) -> list[tuple[str, list[str]]]:
    """(dotted key, its value in every system that has a config), for keys that are not the same in all of them."""
    flat = [dict(_flattened(_parsed(system.config))) for system in systems if system.config]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    rows = [(key, [settings.get(key, "–") for settings in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _parsed(config: str) -> object:
    try:
        return yaml.safe_load(config)
    except yaml.YAMLError:
        return None  # shown as it is, but not compared


def _flattened(node: object, above: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flattened(value, f"{above}.{key}" if above else str(key))
    elif above:
        yield above, yaml.safe_dump(node, default_flow_style=True, width=1000).removesuffix("...\n").strip()
