"""YAML as plain values: nothing in it is run, and what it takes to read it is limited whatever it says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from temporalkd.words import ConfigError

MAX_BYTES = 2**18
MAX_VALUES = 20_000
MAX_DEPTH = 30


class _OnceEach(yaml.SafeLoader):
    """YAML leaves open which of two values a key has that is there twice; here it has neither."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """The values in a file.

    Raises:
        ConfigError: not text, not YAML, or more than the limits; names the file.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: refused, larger than the limit of {MAX_BYTES} bytes")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The values in a text, which is called `where` in errors."""
    try:
        loader = _OnceEach(text)
        node = loader.get_single_node()
        require_small(node, where)  # `<<` writes aliases out while the values are made
        values = None if node is None else loader.construct_document(node)
    except ConfigError:
        raise
    except RecursionError:
        raise ConfigError(f"{where}: refused, nested deeper than the limit of {MAX_DEPTH}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a date or number that there is not
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    require_small(values, where)
    return values


def require_small(values: Any, where: str) -> None:
    """Refuse values that are nested too deeply, or too many once aliases are written out.

    Raises:
        ConfigError: names the limit.
    """
    _measure(values, where, MAX_DEPTH, {})


def _measure(value: Any, where: str, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """(number of values, depth) of a value; what aliases share is measured once."""
    if depth < 0:  # also of a value that holds itself
        raise ConfigError(f"{where}: refused, nested deeper than the limit of {MAX_DEPTH}")
    if id(value) not in known:
        sizes = [_measure(one, where, depth - 1, known) for one in _inner(value)]
        known[id(value)] = 1 + sum(count for count, _ in sizes), 1 + max((below for _, below in sizes), default=-1)
    count, below = known[id(value)]
    if count > MAX_VALUES:
        raise ConfigError(f"{where}: refused, more values than the limit of {MAX_VALUES}")
    if below > depth:
        raise ConfigError(f"{where}: refused, nested deeper than the limit of {MAX_DEPTH}")
    return count, below


def _inner(value: Any) -> Iterable[Any]:
    """What is in a value, or in a node of YAML that a value is made of."""
    match value:
        case yaml.MappingNode():
            return [node for _, node in value.value]
        case yaml.SequenceNode():
            return value.value
        case dict():
            return value.values()
        case list() | tuple() | set():
            return value
    return ()
